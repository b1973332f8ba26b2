package record

import "testing"

// Sizes are such that one buffer is needed at most: under the race detector a pool loses a quarter of what it is given, at random,
// which then is far from one allocation a run. BenchmarkRead and BenchmarkWrite tell of larger ones.
func TestSmallRequestsAndAnswersCostNoMemory(t *testing.T) {
	eachSuite(t, func(t *testing.T, id uint16) {
		for _, size := range []int{100, 4000} {
			c, b, client := pair(t, id)
			content, p := make([]byte, size), make([]byte, 4096)
			record, sent := make([]byte, 0, maxRecord), make([][]byte, 1)
			if n := testing.AllocsPerRun(200, func() {
				b.written.Reset()
				record, _ = client.out.Seal(record[:0], typeApplicationData, content)
				sent[0], b.sent = record, sent
				if n, err := c.Read(p); n != size || err != nil {
					t.Fatal(n, err)
				}
				if n, err := c.Write(p[:size]); n != size || err != nil {
					t.Fatal(n, err)
				}
			}); n > 0 {
				t.Errorf("%d bytes: %v allocations", size, n)
			}
		}
	})
}

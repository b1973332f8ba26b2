package record

import "sync"

// Sizes of pooled buffers. Those above smallBuffer fill a size class of the allocator.
const (
	smallBuffer  = 1 << 10  // a small request or answer
	recordBuffer = 18 << 10 // any record, and the beginning of the next
	batchBuffer  = 72 << 10 // a batch of records to write
)

// buffer is memory for records, from a pool. Its owner puts it back once.
type buffer struct{ bytes []byte }

var pools = [...]struct {
	size int
	sync.Pool
}{{size: smallBuffer}, {size: recordBuffer}, {size: batchBuffer}}

// getBuffer returns a buffer of at least n bytes. What it holds is undefined.
func getBuffer(n int) *buffer {
	for i := range pools {
		if n > pools[i].size {
			continue
		}
		if b, ok := pools[i].Get().(*buffer); ok {
			return b
		}
		return &buffer{make([]byte, pools[i].size)}
	}
	return &buffer{make([]byte, n)}
}

// put gives the buffer back; one of no pool's size is left to the garbage collector.
func (b *buffer) put() {
	for i := range pools {
		if len(b.bytes) == pools[i].size {
			pools[i].Put(b)
		}
	}
}

package audit

import (
	"bytes"
	"io/fs"
	"slices"
	"testing"
)

// FuzzLog: whatever lies in a file, a record can be appended, and a log that Verify finds good is a chain from 1 on and stays good.
func FuzzLog(f *testing.F) {
	lines, last := [][]byte{}, origin
	for range 3 { // without a file: each worker does this
		r := record("shop")
		r.Seq, r.Prev = last.Seq+1, last.Hash
		line, err := r.Line()
		must(f, err)
		lines, last = append(lines, append(line, '\n')), Head{r.Seq, r.Hash}
	}
	f.Add(bytes.Join(lines, nil))
	f.Add(bytes.Join(lines[1:], nil))
	f.Add(lines[0][:len(lines[0])-1])
	f.Add(append(bytes.Clone(lines[0]), lines[1][:60]...))
	f.Add([]byte("{\"seq\":1,\"at\":\""))
	f.Add([]byte("\n\n{}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		before := verified(t, text)
		if len(before.Faults) == 0 && before.Head.Seq != uint64(before.Records) {
			t.Fatalf("good, and %d records end with number %d", before.Records, before.Head.Seq)
		}
		end, err := readTail(bytes.NewReader(text))
		must(t, err)
		next := record("shop")
		next.Seq, next.Prev, next.Recovered = end.head.Seq+1, end.head.Hash, end.torn
		line, err := next.Line()
		must(t, err)
		longer := slices.Clone(text)
		if end.ragged {
			longer = append(longer, '\n')
		}
		after := verified(t, append(append(longer, line...), '\n'))
		if len(before.Faults) == 0 && (len(after.Faults) > 0 || after.Records != before.Records+1) {
			t.Fatalf("good before a record was appended, and then: %v", after.Faults)
		}
		if len(before.Faults) > 0 && len(after.Faults) == 0 {
			t.Fatalf("a record has made these good: %v", before.Faults)
		}
	})
}

func verified(t *testing.T, text []byte) Report {
	t.Helper()
	v := newVerifier(Expectation{}, Head{})
	must(t, v.file(bytes.NewReader(text), segment{path: "audit.log"}))
	v.finish(Head{}, fs.ErrNotExist)
	return v.report
}

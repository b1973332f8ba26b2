package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// linesOf a log of which the head file is removed, so that only the chain speaks.
func linesOf(t testing.TB, n int) (path string, lines [][]byte) {
	t.Helper()
	path = written(t, n, Options{})
	must(t, os.Remove(path+headSuffix))
	text, err := os.ReadFile(path)
	must(t, err)
	return path, slices.Collect(bytes.Lines(text))
}

func TestEveryChangedByteIsFound(t *testing.T) {
	path, lines := linesOf(t, 2)
	text := bytes.Join(lines, nil)
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		must(t, os.WriteFile(path, changed, 0o600))
		_, err := Verify(path, Expectation{})
		// Without its end the last line is still the record.
		if i < len(text)-1 && !errors.Is(err, ErrBroken) {
			t.Fatalf("byte %d of %q: %v", i, changed[max(0, i-20):min(i+20, len(text))], err)
		}
	}
}

func TestRemovedInsertedAndReorderedRecordsAreFound(t *testing.T) {
	path, l := linesOf(t, 6)
	_, other := linesOf(t, 6)
	rewritten := slices.Clone(l)
	rewritten[2] = forge(t, l[2], func(r *Record) { r.Who.Peer.UID = 0 })
	added := forge(t, l[5], func(r *Record) { r.Seq, r.Prev = 4, hashOf(t, l[2]) })
	for name, c := range map[string]struct {
		lines [][]byte
		kinds string
	}{
		"untouched":          {l, ""},
		"first removed":      {l[1:], "removed"},
		"third removed":      {without(l, 2), "removed"},
		"two removed":        {without(without(l, 2), 2), "removed"},
		"third and fourth":   {order(l, 0, 1, 3, 2, 4, 5), "reordered reordered"},
		"third at the end":   {order(l, 0, 1, 3, 4, 5, 2), "reordered reordered"},
		"one twice":          {order(l, 0, 1, 1, 2, 3, 4, 5), "inserted"},
		"an old one again":   {order(l, 0, 1, 2, 3, 4, 5, 1), "inserted"},
		"one of another log": {slices.Insert(slices.Clone(l), 3, other[3]), "edited inserted edited"},
		"one made up":        {slices.Insert(slices.Clone(l), 3, added), "inserted edited"},
		"rewritten":          {rewritten, "edited"},
		"a line of text":     {slices.Insert(slices.Clone(l), 3, []byte("hello\n")), "edited"},
		"text at the end":    {append(slices.Clone(l), []byte("hello\n")), "edited"},
		"an empty line":      {slices.Insert(slices.Clone(l), 3, []byte("\n")), "edited"},
		"two joined":         {append([][]byte{bytes.TrimSpace(l[0])}, l[1:]...), "edited removed"},
	} {
		must(t, os.WriteFile(path, bytes.Join(c.lines, nil), 0o600))
		report, err := Verify(path, Expectation{})
		var kinds []string
		for _, f := range report.Faults {
			kinds = append(kinds, f.Kind)
		}
		if got := strings.Join(kinds, " "); got != c.kinds || errors.Is(err, ErrBroken) != (c.kinds != "") {
			t.Errorf("%s: found %q, want %q\n%v\n%v", name, got, c.kinds, err, report.Faults)
		}
	}
}

func TestCutEndIsFoundByAHead(t *testing.T) {
	path := written(t, 6, Options{})
	noted, err := readHead(path)
	must(t, err)
	text, err := os.ReadFile(path)
	must(t, err)
	lines := slices.Collect(bytes.Lines(text))
	must(t, os.WriteFile(path, bytes.Join(lines[:4], nil), 0o600))
	if report, err := Verify(path, Expectation{}); !errors.Is(err, ErrBroken) || report.Faults[0].Kind != "removed" || report.Head.Seq != 4 {
		t.Errorf("by the head file: %v", err)
	}
	must(t, os.Remove(path+headSuffix))
	if report, err := Verify(path, Expectation{}); err != nil || report.Anchor != "none" {
		t.Errorf("without a head a cut end cannot be seen: %+v, %v", report, err)
	}
	if _, err := Verify(path, Expectation{Head: noted.Hash}); !errors.Is(err, ErrBroken) {
		t.Errorf("by a head that was noted: %v", err)
	}
	if report, err := Verify(path, Expectation{Head: strings.ToUpper(hashOf(t, lines[2]))}); err != nil || report.Anchor != "given" {
		t.Errorf("held to an earlier record: %+v, %v", report, err)
	}
}

// Whoever can write the file can write it anew; a head that was noted elsewhere is what finds it.
func TestLogThatWasWrittenAnewIsFoundByAHeadAlone(t *testing.T) {
	path := written(t, 5, Options{})
	noted, err := readHead(path)
	must(t, err)
	must(t, os.Remove(path))
	must(t, os.Remove(path+headSuffix))
	more(t, path, 5, Options{})
	if _, err := Verify(path, Expectation{}); err != nil {
		t.Errorf("a whole new chain: %v", err)
	}
	if _, err := Verify(path, Expectation{Head: noted.Hash}); !errors.Is(err, ErrBroken) {
		t.Errorf("held to the head: %v", err)
	}
}

func TestCutEndIsSaidWhenTheLogIsOpened(t *testing.T) {
	path := written(t, 4, Options{})
	text, err := os.ReadFile(path)
	must(t, err)
	lines := slices.Collect(bytes.Lines(text))
	must(t, os.WriteFile(path, bytes.Join(lines[:2], nil), 0o600))
	more(t, path, 3, Options{})
	report, err := Verify(path, Expectation{})
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), "record 4 was missing") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestLogThatIsMovedAwayWhileOpenIsFound(t *testing.T) {
	path := t.TempDir() + "/audit.log"
	l, err := Open(path, Options{})
	must(t, err)
	defer l.Close()
	for i := range 4 {
		_, err := l.Append(record("shop"))
		must(t, err)
		if i == 1 {
			must(t, os.Remove(path))
		}
	}
	if found, err := Read(path, Query{}); err != nil || len(found) != 2 {
		t.Errorf("%d records are at the path, %v", len(found), err)
	}
	if _, err := Verify(path, Expectation{}); !errors.Is(err, ErrBroken) {
		t.Error(err)
	}
}

func TestRotatedFilesAreOneChain(t *testing.T) {
	path := written(t, 40, Options{MaxSize: 4096})
	report, err := Verify(path, Expectation{})
	if err != nil || report.Records != 40 || len(report.Files) < 4 {
		t.Fatalf("%+v, %v", report, err)
	}
	all, err := segments(path)
	must(t, err)
	must(t, os.Rename(all[0].path, path+".away"))
	if _, err := Verify(path, Expectation{}); !errors.Is(err, ErrBroken) {
		t.Errorf("the oldest is gone: %v", err)
	}
	if _, err := Verify(path, Expectation{From: all[1].first}); err != nil {
		t.Errorf("the oldest is gone on purpose: %v", err)
	}
	must(t, os.Rename(path+".away", all[0].path))
	must(t, os.Remove(all[1].path))
	if report, err := Verify(path, Expectation{}); !errors.Is(err, ErrBroken) || report.Faults[0].Kind != "removed" {
		t.Errorf("one in the midst is gone: %v", err)
	}
}

func TestMissingLogIsNoGoodLog(t *testing.T) {
	if _, err := Verify(t.TempDir()+"/audit.log", Expectation{}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func without(lines [][]byte, i int) [][]byte { return slices.Delete(slices.Clone(lines), i, i+1) }

func order(lines [][]byte, order ...int) (all [][]byte) {
	for _, i := range order {
		all = append(all, lines[i])
	}
	return all
}

func hashOf(t testing.TB, line []byte) string {
	t.Helper()
	r, _, err := parse(bytes.TrimSpace(line))
	must(t, err)
	return r.Hash
}

// forge changes a record, and gives it the hash that it needs.
func forge(t testing.TB, line []byte, change func(*Record)) []byte {
	t.Helper()
	r, _, err := parse(bytes.TrimSpace(line))
	must(t, err)
	change(&r)
	forged, err := r.Line()
	must(t, err)
	return fmt.Appendf(nil, "%s\n", forged)
}

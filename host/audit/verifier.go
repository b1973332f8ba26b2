package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// verifier goes through a log. What it expects next is the record behind head.
type verifier struct {
	expect Expectation
	report Report
	head   Head
	seen   map[uint64]bool
	awaits map[string]bool // hashes that must be in the log; true once they were found
	gaps   []gap

	path   string // of the file that is read
	line   int    // from 1
	scraps scraps // since the last record
	began  Fault  // where they begin
	unlike bool   // they are not the beginning of the next record
}

// gap is a place where numbers are left out. If they come later, records were reordered, else removed.
type gap struct {
	after, before uint64 // the records at its edges
	left          uint64 // numbers that did not come yet
	fault         int    // index in the report's; -1 if that is full
}

func newVerifier(e Expectation, noted Head) *verifier {
	v := &verifier{expect: e, head: origin, seen: map[uint64]bool{}, awaits: map[string]bool{}}
	v.expect.Head, v.expect.From = strings.ToLower(e.Head), cmp.Or(e.From, 1)
	for _, hash := range []string{v.expect.Head, noted.Hash} {
		if hash != "" {
			v.awaits[hash] = false
		}
	}
	return v
}

func (v *verifier) files(path string, all []segment) error {
	if len(all) == 0 {
		return &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	for _, s := range all {
		f, err := os.Open(s.path)
		if err != nil {
			return err
		}
		err = v.file(f, s)
		_ = f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) file(f io.Reader, s segment) error {
	v.path, v.line = s.path, 0
	v.report.Files = append(v.report.Files, s.path)
	err := eachLine(f, func(line []byte, _ bool) error {
		v.line++
		v.take(line, s)
		return nil
	})
	if errors.Is(err, bufio.ErrTooLong) {
		v.fault("edited", v.line+1, 0, "a line of more than %d bytes; nothing behind it in this file was read", maxLine)
		err = nil
	}
	return err
}

// take judges one line.
func (v *verifier) take(line []byte, s segment) {
	r, intact, err := parse(line)
	if err != nil {
		if v.scraps.lines == 0 {
			v.began, v.unlike = Fault{File: v.path, Line: v.line}, false
		}
		v.scraps.add(line)
		v.unlike = v.unlike || !beginning(line, v.head.Seq+1)
		return
	}
	v.explain(r)
	if _, awaited := v.awaits[r.Hash]; awaited && intact {
		v.awaits[r.Hash] = true
	}
	if !intact {
		v.fault("edited", v.line, r.Seq, "the bytes of record %d are not those of its hash", r.Seq)
	}
	if v.line == 1 && s.first != 0 && r.Seq != s.first {
		v.fault("removed", v.line, r.Seq, "the file begins with record %d, and by its name with %d", r.Seq, s.first)
	}
	if v.follows(r) {
		v.head = Head{r.Seq, r.Hash}
	}
	v.report.Records++
	v.seen[r.Seq] = true
}

// follows judges a record's place, and reports whether the next one is to follow it.
func (v *verifier) follows(r Record) bool {
	want := v.head.Seq + 1
	switch {
	case v.report.Records == 0:
		v.report.First = r.Seq
		if r.Seq != v.expect.From {
			v.fault("removed", v.line, r.Seq, "the log begins with record %d, not with %d", r.Seq, v.expect.From)
		} else if r.Seq == 1 && r.Prev != origin.Hash {
			v.fault("edited", v.line, r.Seq, "record 1 follows another one")
		}
	case r.Seq == want && r.Prev != v.head.Hash:
		v.fault("edited", v.line, v.head.Seq, "record %d is not the one that record %d follows", v.head.Seq, r.Seq)
	case r.Seq > want:
		g := gap{after: v.head.Seq, before: r.Seq, left: r.Seq - want, fault: -1}
		if v.fault("removed", v.line, r.Seq, "record %d comes behind %d; what was between is missing", r.Seq, v.head.Seq) {
			g.fault = len(v.report.Faults) - 1
		}
		v.gaps = append(v.gaps, g)
	case v.seen[r.Seq]:
		v.fault("inserted", v.line, r.Seq, "record %d stands here again", r.Seq)
		return false
	case r.Seq < want:
		v.fault("reordered", v.line, r.Seq, "record %d comes behind %d", r.Seq, v.head.Seq)
		v.fill(r.Seq)
		return false
	}
	return true
}

// fill notes that a number came behind the gap that it belongs to.
func (v *verifier) fill(seq uint64) {
	for i := range v.gaps {
		g := &v.gaps[i]
		if g.after >= seq || seq >= g.before {
			continue
		}
		if g.left--; g.left == 0 && g.fault >= 0 {
			f := &v.report.Faults[g.fault]
			f.Kind, f.Detail = "reordered", fmt.Sprintf("record %d comes behind %d; what was between comes later", g.before, g.after)
		}
	}
}

// explain holds what a record tells of the log to what lies before it.
func (v *verifier) explain(r Record) {
	told, lies := r.Recovered, v.scraps.recovered()
	v.scraps = scraps{}
	switch {
	case lies != nil && !v.unlike && told != nil && told.Torn == lies.Torn && told.SHA256 == lies.SHA256:
		v.report.Torn++
	case lies != nil:
		v.strange()
	case told != nil && told.Torn > 0:
		v.fault("removed", v.line, r.Seq, "record %d tells of an unfinished one, which is not there", r.Seq)
	}
	if told != nil && told.Missing != nil {
		v.fault("removed", v.line, r.Seq, "record %d tells that record %d was missing", r.Seq, told.Missing.Seq)
	}
	if told != nil && told.Replaced {
		v.fault("removed", v.line, r.Seq, "record %d tells that the file was moved away", r.Seq)
	}
}

// finish judges the end of the log.
func (v *verifier) finish(noted Head, headErr error) {
	v.report.Head = v.head
	v.report.Unfinished = v.scraps.lines > 0 && !v.unlike
	if v.scraps.lines > 0 && v.unlike {
		v.strange()
	}
	v.report.Anchor = "none"
	switch {
	case errors.Is(headErr, fs.ErrNotExist):
	case headErr != nil:
		v.fault("edited", 0, 0, "%v", headErr)
	case !v.awaits[noted.Hash] && v.seen[noted.Seq]:
		v.fault("edited", 0, noted.Seq, "record %d is not the one that the head file names", noted.Seq)
	case !v.awaits[noted.Hash]:
		v.fault("removed", 0, noted.Seq, "the log ends with record %d, the head file names %d", v.head.Seq, noted.Seq)
	default:
		v.report.Anchor = "head file"
	}
	if v.expect.Head == "" {
		return
	}
	if v.report.Anchor = "given"; !v.awaits[v.expect.Head] {
		v.fault("removed", 0, 0, "no record has the hash %s", v.expect.Head)
	}
}

// strange is the fault of lines that are no records.
func (v *verifier) strange() {
	path := v.path
	v.path = v.began.File
	v.fault("edited", v.began.Line, 0, "it is no record")
	v.path = path
}

// fault adds to the report, and tells whether it had room.
func (v *verifier) fault(kind string, line int, seq uint64, format string, a ...any) bool {
	if len(v.report.Faults) == maxFaults {
		return false
	}
	v.report.Faults = append(v.report.Faults, Fault{kind, v.path, line, seq, fmt.Sprintf(format, a...)})
	return true
}

// beginning tells whether a line may be the beginning of the record with that number, which a crash kept from being finished: JSON that
// ends too early, and of the hash no more than there can be.
func beginning(line []byte, seq uint64) bool {
	begin := fmt.Appendf(nil, `{"seq":%d,"at":"`, seq)
	if n := min(len(line), len(begin)); !bytes.Equal(line[:n], begin[:n]) {
		return false
	}
	if i := bytes.LastIndex(line, []byte(member)); i >= 0 {
		hash := bytes.TrimSuffix(line[i+len(member):], []byte(`"`))
		return len(hash) <= 2*sha256.Size && len(bytes.Trim(hash, "0123456789abcdef")) == 0
	}
	return errors.Is(json.NewDecoder(bytes.NewReader(line)).Decode(&struct{}{}), io.ErrUnexpectedEOF)
}

// String says where the fault is, and what.
func (f Fault) String() string {
	where := filepath.Base(f.File)
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", where, f.Line)
	}
	return fmt.Sprintf("%s: %s: %s", where, f.Kind, f.Detail)
}

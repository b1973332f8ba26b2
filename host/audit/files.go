package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxLine bounds what is held of a line that is no record, in bytes.
const maxLine = 16 * MaxRecord

// headSuffix names the head file beside a log.
const headSuffix = ".head"

// rotated is the name of a file whose first record has that number. With twelve digits names sort as numbers do.
func rotated(path string, first uint64) string { return fmt.Sprintf("%s.%012d", path, first) }

// segment is one file of a log.
type segment struct {
	path  string
	first uint64 // by its name; 0 for the file that is written now
}

// segments are the files of a log, oldest first; the one at path comes last if it exists.
func segments(path string) ([]segment, error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		first, err := strconv.ParseUint(number, 10, 64)
		if name := filepath.Join(filepath.Dir(path), e.Name()); ok && err == nil && filepath.Clean(name) == filepath.Clean(rotated(path, first)) {
			all = append(all, segment{name, first})
		}
	}
	slices.SortFunc(all, func(a, b segment) int { return strings.Compare(a.path, b.path) })
	_, err = os.Lstat(path)
	if err == nil {
		all = append(all, segment{path: path})
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return all, nil
}

// eachLine calls fn with each line, without its end; ended is false for a last line that has none.
func eachLine(r io.Reader, fn func(line []byte, ended bool) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	s.Split(func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i+1], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	})
	for s.Scan() {
		line, ended := bytes.CutSuffix(s.Bytes(), []byte("\n"))
		if err := fn(line, ended); err != nil {
			return err
		}
	}
	return s.Err()
}

// ending is how a file ends.
type ending struct {
	first  uint64     // of its records; 0: it has none
	head   Head       // the last record that is intact
	torn   *Recovered // what lies behind the last record and is none
	begun  []uint64   // records of what was about to begin, whose outcome is not there
	ragged bool       // it does not end with a line's end
}

// readTail reads a file to its end. What lies between its records is Verify's to judge.
func readTail(r io.Reader) (ending, error) {
	e := ending{head: origin}
	var behind scraps
	err := eachLine(r, func(line []byte, ended bool) error {
		e.ragged = !ended
		record, intact, err := parse(line)
		if err != nil {
			behind.add(line)
			return nil
		}
		behind = scraps{}
		if intact {
			e.first, e.head = cmp.Or(e.first, record.Seq), Head{record.Seq, record.Hash}
			e.follow(record)
		}
		return nil
	})
	e.torn = behind.recovered()
	if errors.Is(err, bufio.ErrTooLong) {
		// Nothing behind a line of that length is looked at; the chain goes on from what is known, and Verify finds the place.
		e.ragged, err = true, nil
	}
	return e, err
}

// follow notes what a record begins, and what it is the end of.
func (e *ending) follow(r Record) {
	var over []uint64
	if r.Of > 0 {
		over = append(over, r.Of)
	}
	if r.Recovered != nil {
		over = append(over, r.Recovered.Unanswered...)
	}
	if len(over) > 0 {
		e.begun = slices.DeleteFunc(e.begun, func(n uint64) bool { return slices.Contains(over, n) })
	}
	if r.begins() {
		e.begun = append(e.begun, r.Seq)
	}
}

// scraps are lines in a row that are no records. A crash leaves one, and another for each crash while that is told.
type scraps struct {
	lines, bytes int
	sum          hash.Hash
}

func (s *scraps) add(line []byte) {
	if s.lines++; s.lines == 1 {
		s.sum = sha256.New()
	} else {
		s.sum.Write([]byte("\n"))
		s.bytes++
	}
	s.sum.Write(line)
	s.bytes += len(line)
}

// recovered is what the next record tells of them; nil if there are none.
func (s *scraps) recovered() *Recovered {
	if s.lines == 0 {
		return nil
	}
	return &Recovered{Torn: s.bytes, SHA256: hex.EncodeToString(s.sum.Sum(nil))}
}

// headOfRotated is the last record of the newest rotated file that has any.
func headOfRotated(path string) (Head, error) {
	all, err := segments(path)
	if err != nil {
		return origin, err
	}
	for _, s := range slices.Backward(all) {
		if s.first == 0 {
			continue
		}
		f, err := os.Open(s.path)
		if err != nil {
			return origin, err
		}
		e, err := readTail(f)
		_ = f.Close()
		if err != nil {
			return origin, err
		}
		if e.first > 0 {
			return e.head, nil
		}
	}
	return origin, nil
}

// readHead reads the head file of the log at path.
func readHead(path string) (Head, error) {
	b, err := os.ReadFile(path + headSuffix)
	if err != nil {
		return Head{}, err
	}
	var h Head
	n, err := fmt.Sscanf(string(b), "%d %s\n", &h.Seq, &h.Hash)
	if _, bad := hex.DecodeString(h.Hash); n != 2 || err != nil || bad != nil || len(h.Hash) != 2*sha256.Size {
		return Head{}, fmt.Errorf("read head file %q: it holds no number and hash", path+headSuffix)
	}
	return h, nil
}

// writeHead replaces the head file by one rename, so that a crash leaves the one before or this one.
func writeHead(path string, h Head) error {
	next := path + headSuffix + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_SYNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%d %s\n", h.Seq, h.Hash)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(next, path+headSuffix)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

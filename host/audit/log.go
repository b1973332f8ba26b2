package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrClosed: the log was closed.
var ErrClosed = errors.New("audit log is closed")

// DefaultMaxSize is how large a file becomes before the next is begun, in bytes.
const DefaultMaxSize = 16 << 20

// Options of a log. The zero value is useful.
type Options struct {
	MaxSize int64 // of a file, in bytes, from 4096 on; 0: DefaultMaxSize
}

// Log appends records. One process at a time may have a log open, and sees to that itself: what another writes in between is
// found by Verify. Its methods may be called by several goroutines.
type Log struct {
	path    string
	maxSize int64

	mu     sync.Mutex
	file   *os.File
	size   int64  // up to which the file is known
	first  uint64 // of the file's records; 0: it has none
	head   Head
	tried  Head // the record of the last write that failed
	missed int
	found  *Recovered // to be told by the next record
	ragged bool       // the file does not end with a line's end
}

// Open opens the log at path, which it makes with mode 0600 if it is missing; its directory must exist. It goes on behind the
// last record. If the end of the log is not as it was left, or the outcome of something that began in this file is missing, a record is
// appended that says so, where there is room for it now: Open judges nothing else, and never refuses for what is in the file.
func Open(path string, o Options) (*Log, error) {
	size := cmp.Or(o.MaxSize, DefaultMaxSize)
	if size < 4096 {
		return nil, fmt.Errorf("open audit log: MaxSize %d: give 4096 or more", size)
	}
	l := &Log{path: path, maxSize: size}
	err := l.open()
	if err == nil {
		err = l.resume()
	}
	if err != nil {
		if l.file != nil {
			_ = l.file.Close()
		}
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return l, nil
}

// Path of the file that is written now.
func (l *Log) Path() string { return l.path }

// Head is the last record. Noted elsewhere, it is what the log can be held to.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Append writes a record, and returns it as written when it is on disk. After an error the record is not in the log, or not wholly,
// and the next one that is written counts it as missed. After Close no other is written: it is ErrClosed, and if the record is the outcome
// of what began before, whoever opens the log next tells that it is missing.
func (l *Log) Append(r Record) (Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	written, err := l.appendLocked(r)
	if err != nil && !errors.Is(err, ErrClosed) {
		l.missed++
	}
	return written, err
}

// Close closes the log. Nothing is awaited: every record that was acknowledged is on disk.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func (l *Log) appendLocked(r Record) (Record, error) {
	if l.file == nil {
		return Record{}, ErrClosed
	}
	if err := l.lookLocked(); err != nil {
		return Record{}, fmt.Errorf("append to audit log: %w", err)
	}
	if l.size >= l.maxSize && l.first > 0 {
		l.rotateLocked()
	}
	if r.At.IsZero() {
		r.At = time.Now()
	}
	r.At = r.At.UTC().Round(0)
	r.Seq, r.Prev, r.Missed, r.Recovered = l.head.Seq+1, l.head.Hash, l.missed, l.found
	line, err := r.Line()
	if err != nil {
		return Record{}, err
	}
	if l.ragged {
		line = append([]byte("\n"), line...)
	}
	if _, err := l.file.Write(append(line, '\n')); err != nil { // O_SYNC
		l.tried = Head{r.Seq, r.Hash}
		return Record{}, fmt.Errorf("append to audit log: %w", err)
	}
	l.size += int64(len(line)) + 1
	l.head, l.first = Head{r.Seq, r.Hash}, cmp.Or(l.first, r.Seq)
	l.missed, l.found, l.ragged = 0, nil, false
	// Without its head file a record is on disk all the same; the head file then lags behind, which Verify allows.
	_ = writeHead(l.path, l.head)
	return r, nil
}

// lookLocked finds out what lies in the file behind what this log has written: the rest of a write that failed, or somebody else's.
func (l *Log) lookLocked() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(l.path); err != nil || !os.SameFile(info, there) {
		return l.replacedLocked()
	}
	if info.Size() == l.size {
		return nil
	}
	from := l.size
	if info.Size() < from {
		from = 0 // cut
	}
	last, err := readTail(io.NewSectionReader(l.file, from, info.Size()-from))
	if err != nil {
		return err
	}
	if l.tried.Seq > 0 && last.head == l.tried {
		l.head = l.tried // it failed, and is there whole
	}
	if last.torn != nil {
		found := l.foundLocked()
		found.Torn, found.SHA256 = last.torn.Torn, last.torn.SHA256
	}
	l.size, l.ragged, l.tried = info.Size(), last.ragged, Head{}
	return nil
}

// replacedLocked goes on in another file at the path: the one that was open was moved or removed, and what is written to it is lost.
func (l *Log) replacedLocked() error {
	before := l.file
	if err := l.open(); err != nil {
		return err
	}
	_ = before.Close() // every write was synchronous
	l.size, l.first, l.ragged = 0, 0, false
	l.found = &Recovered{Replaced: true, Unanswered: l.foundLocked().Unanswered}
	return nil
}

// rotateLocked gives the file the number of its first record as a name, and begins another. A file that cannot be renamed or
// succeeded grows on: to have the record matters more than the size.
func (l *Log) rotateLocked() {
	full := rotated(l.path, l.first)
	if _, err := os.Lstat(full); err == nil {
		return
	}
	if err := os.Rename(l.path, full); err != nil {
		return
	}
	before := l.file
	if err := l.open(); err != nil {
		l.file = before
		_ = os.Rename(full, l.path)
		return
	}
	_ = before.Close() // every write was synchronous
	l.size, l.first, l.ragged = 0, 0, false
}

// open opens the file, and makes it last if it is new.
func (l *Log) open() error {
	_, err := os.Lstat(l.path)
	isNew := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_SYNC|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", l.path)
	}
	if err == nil && isNew {
		err = syncDir(filepath.Dir(l.path))
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	l.file = f
	return nil
}

// resume finds where the log ends, and says what is wrong with its end.
func (l *Log) resume() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	last, err := readTail(io.NewSectionReader(l.file, 0, info.Size()))
	if err != nil {
		return err
	}
	l.size, l.first, l.head, l.ragged, l.found = info.Size(), last.first, last.head, last.ragged, last.torn
	if l.first == 0 {
		if l.head, err = headOfRotated(l.path); err != nil {
			return err
		}
	}
	noted, err := readHead(l.path)
	if err == nil && (noted.Seq > l.head.Seq || noted.Seq == l.head.Seq && noted != l.head) {
		l.foundLocked().Missing = &noted
	}
	if n := min(len(last.begun), maxUnanswered); n > 0 {
		l.foundLocked().Unanswered = last.begun[:n] // the others are told when the log is opened next
	}
	if l.found == nil {
		return nil
	}
	// Where the disk is full, the next record tells it.
	_, _ = l.appendLocked(Record{
		Who: Who{Role: ofLog}, What: What{Method: "RECOVER", Route: filepath.Base(l.path)}, Outcome: Outcome{Error: l.found.String()},
	})
	return nil
}

// maxUnanswered bounds what a record can tell of others. It is more than can be under way at a time, but for an administrator's.
const maxUnanswered = 500

// foundLocked is what is to be told by the next record.
func (l *Log) foundLocked() *Recovered {
	if l.found == nil {
		l.found = &Recovered{}
	}
	return l.found
}

// String says what was found, in words.
func (f Recovered) String() string {
	var all []string
	if f.Torn > 0 {
		all = append(all, fmt.Sprintf("%d bytes of a record that was not finished", f.Torn))
	}
	if f.Missing != nil {
		all = append(all, fmt.Sprintf("record %d, the last one that the head file knows, is missing", f.Missing.Seq))
	}
	if f.Replaced {
		all = append(all, "the file was moved or replaced while it was open")
	}
	if n := len(f.Unanswered); n > 0 {
		all = append(all, fmt.Sprintf("the outcome of what began with record %d was not written", f.Unanswered[0]))
		if n > 1 {
			all[len(all)-1] += fmt.Sprintf(", nor that of %d others", n-1)
		}
	}
	return strings.Join(all, "; ")
}

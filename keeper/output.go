package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// output is where the processes of the service write to: each to a file of its own, or to the journal, without anybody in between
// that could block them or lose a line when it ends. The zero value is what the keeper itself writes to.
type output struct {
	dir     string
	journal string        // the identifier of the lines
	opened  atomic.Uint32 // files
}

// journalPrefix begins a Config.Output that names no directory.
const journalPrefix = "journald:"

// set makes it what the configuration says, as locate has settled it.
func (o *output) set(config string) error {
	if name, ok := strings.CutPrefix(config, journalPrefix); ok {
		o.journal = name
		return nil
	}
	if o.dir = config; o.dir == "" {
		return nil
	}
	if err := os.MkdirAll(o.dir, 0o750); err != nil {
		return fmt.Errorf("make the directory of the output: %w", err)
	}
	return nil
}

// open opens what one process writes to. The file is the caller's; it is nil, and the path empty, for what the keeper writes to.
func (o *output) open() (file *os.File, path string, err error) {
	switch {
	case o.journal != "":
		file, err = openJournal(o.journal)
		return file, "", err
	case o.dir == "":
		return nil, "", nil
	}
	for range 1000 {
		name := fmt.Sprintf("%s-%03d.log", time.Now().UTC().Format("20060102T150405.000Z"), o.opened.Add(1)%1000)
		path = filepath.Join(o.dir, name)
		// Appending, so that whoever cuts the file short does not leave a hole behind.
		file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o640)
		if !errors.Is(err, os.ErrExist) { // another keeper, or one before this one, had the same name
			break
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("open the output of a process: %w", err)
	}
	return file, path, nil
}

// journalSocket is where systemd's journal takes what a process writes.
const journalSocket = "/run/systemd/journal/stdout"

// openJournal connects to the journal, as sd_journal_stream_fd(3) does.
func openJournal(identifier string) (*os.File, error) {
	conn, err := net.Dial("unix", journalSocket)
	if err != nil {
		return nil, fmt.Errorf("connect to the journal: %w", err)
	}
	defer func() { _ = conn.Close() }()
	u := conn.(*net.UnixConn)
	_ = u.SetWriteBuffer(8 << 20) // as much as the kernel allows
	if err := u.SetWriteDeadline(time.Now().Add(journalTimeout)); err != nil {
		return nil, err
	}
	if _, err := u.Write(journalHeader(identifier)); err != nil {
		return nil, fmt.Errorf("greet the journal: %w", err)
	}
	if err := u.CloseRead(); err != nil {
		return nil, fmt.Errorf("greet the journal: %w", err)
	}
	return u.File()
}

// journalTimeout bounds the greeting, which the socket's buffer takes at once.
const journalTimeout = time.Second

// journalHeader is what the journal reads first: identifier, unit (its own knowledge), priority 6 (informational), that a line may begin with
// another priority, and that nothing is passed on to syslog, the kernel's log or a console.
func journalHeader(identifier string) []byte { return []byte(identifier + "\n\n6\n1\n0\n0\n0\n") }

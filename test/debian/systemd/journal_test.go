//go:build debian

package systemd

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// entry is one line of the journal: a service's, or systemd's own about it.
type entry struct {
	Message string `json:"MESSAGE"`
	PID     string `json:"_PID"`
}

// journal follows a machine's journal.
type journal struct {
	t    *testing.T
	read chan struct{} // closed when it was read to its end

	mu      sync.Mutex
	entries []entry
	changed chan struct{} // closed and replaced when an entry has come
	ended   bool
}

// follow starts journalctl, which ends with the machine: then close the journal.
func follow(t *testing.T, journalctl *exec.Cmd) *journal {
	t.Helper()
	j := &journal{t: t, read: make(chan struct{}), changed: make(chan struct{})}
	lines, err := journalctl.StdoutPipe()
	if err == nil {
		err = journalctl.Start()
	}
	if err != nil {
		t.Fatalf("follow the journal: %v", err)
	}
	go func() {
		defer close(j.read)
		j.take(lines)
		_ = journalctl.Wait() // it was killed with the machine
	}()
	return j
}

func (j *journal) take(lines io.Reader) {
	for decoder := json.NewDecoder(bufio.NewReader(lines)); ; {
		var e entry
		err := decoder.Decode(&e)
		j.mu.Lock()
		if err == nil {
			j.entries = append(j.entries, e)
		}
		j.ended = j.ended || err != nil
		close(j.changed)
		j.changed = make(chan struct{})
		j.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// close waits for the journal's end, and looks at what the service said of itself.
func (j *journal) close() {
	j.t.Helper()
	<-j.read
	if _, found := j.find(0, contains("WARNING: DATA RACE")); found {
		j.t.Error("a data race in the service")
	}
	if j.t.Failed() {
		j.t.Logf("journal:\n%s", j)
	}
}

// mark is where the journal ends now.
func (j *journal) mark() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.entries)
}

// await waits for the first entry after mark that matches.
func (j *journal) await(mark int, what string, match func(entry) bool, timeout time.Duration) entry {
	j.t.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		j.mu.Lock()
		changed, ended := j.changed, j.ended
		j.mu.Unlock()
		if e, found := j.find(mark, match); found {
			return e
		}
		if ended {
			j.t.Fatalf("no entry %q: the journal has ended", what)
		}
		select {
		case <-changed:
		case <-timer.C:
			j.t.Fatalf("no entry %q within %v", what, timeout)
		}
	}
}

// find looks for an entry after mark.
func (j *journal) find(mark int, match func(entry) bool) (entry, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.entries[mark:] {
		if match(e) {
			return e, true
		}
	}
	return entry{}, false
}

// String is the journal's last part.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for _, e := range j.entries[max(0, len(j.entries)-200):] {
		b.WriteString(e.PID + " " + e.Message + "\n")
	}
	return b.String()
}

func contains(text string) func(entry) bool {
	return func(e entry) bool { return strings.Contains(e.Message, text) }
}

package observe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/procfs"

	"github.com/handover-go/handover/host/judge"
)

// process writes /proc/7 of a tree that is none of the kernel's: with two descriptors, and as much of its stat as matters.
func process(t *testing.T, proc, state string, ticks, start int) {
	t.Helper()
	dir := filepath.Join(proc, "7")
	for _, fd := range []string{"0", "1"} {
		if err := os.MkdirAll(filepath.Join(dir, "fd", fd), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// proc_pid_stat(5): utime is field 14, threads 20, starttime 22, rss 24.
	stat := fmt.Sprintf("7 (shop) %s 1 7 7 0 -1 0 0 0 0 0 %d 0 0 0 20 0 3 0 %d 0 100%s", state, ticks, start, strings.Repeat(" 0", 28))
	if err := os.WriteFile(filepath.Join(dir, "stat"), []byte(stat), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNumberOfAnotherProcessIsNotTakenForTheSame(t *testing.T) {
	proc := t.TempDir()
	tree, err := procfs.NewFS(proc)
	if err != nil {
		t.Fatal(err)
	}
	s := &Sampler{proc: tree}
	for _, step := range []struct {
		state        string
		ticks, start int
		known        judge.Known
	}{
		{"S", 100, 5000, judge.KnownRSS | judge.KnownFDs | judge.KnownThreads},
		{"S", 200, 5000, judge.KnownRSS | judge.KnownFDs | judge.KnownThreads | judge.KnownCPU},
		{"S", 300, 6000, judge.KnownRSS | judge.KnownFDs | judge.KnownThreads}, // the number was given to another
		{"Z", 300, 6000, 0},
	} {
		process(t, proc, step.state, step.ticks, step.start)
		r, err := s.Read(7)
		if err != nil || r.Known != step.known {
			t.Errorf("%+v: %+v: %v", step, r, err)
		}
		if r.Known != 0 && (r.RSS != uint64(100*os.Getpagesize()) || r.Threads != 3 || r.FDs != 2) {
			t.Errorf("%+v: %+v", step, r)
		}
	}
}

package plain

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/journal"
)

func TestForgedReadinessIsIgnored(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-settle", "1m"}, env: []string{"HANDOVER_READY_TIMEOUT=5s"}, fault: "says"})
	r.upgraded()
	r.breaks("")
	started := r.WatchFor(`msg="the program is started"`)
	defer started.Forget()
	var forger sync.WaitGroup
	forger.Go(func() {
		line, err := started.Line(r.Ctx)
		if err != nil {
			t.Error(err)
			return
		}
		forge(t, environment(t, journal.Number(t, line, "pid"))["NOTIFY_SOCKET"])
	})
	ignored := r.line(func() {
		r.stays(wire.Upgrade{}, "aborted", wire.CodeDeadline, "it did not say READY=1")
	}, `msg="notification ignored`)
	forger.Wait()
	if journal.Number(t, ignored, "generation") != 3 {
		t.Errorf("%s: want generation 3", ignored)
	}
}

// forge says from this process, which is not of the service, that it is ready.
func forge(t *testing.T, socket string) {
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	if _, err := c.Write([]byte("READY=1")); err != nil {
		t.Error(err)
	}
}

func TestReadinessSaidByTheProgramOrItsChildCounts(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-settle", "1m"}, env: []string{"HANDOVER_READY_TIMEOUT=20s"}, fault: "says"})
	r.breaks("child")
	line := r.line(func() { r.upgraded() }, "msg=ready ")
	if !strings.Contains(line, `reason="it says READY=1"`) {
		t.Error(line)
	}
}

func TestProgramFindsItsOwnNumberInListenPID(t *testing.T) {
	t.Parallel()
	r := start(t, kept{flags: []string{"-settle", "100ms", "-listen", "127.0.0.1:0"}})
	pid := r.PID()
	v := environment(t, pid)
	if v["LISTEN_FDS"] != "2" || v["LISTEN_FDNAMES"] != strings.ReplaceAll(r.address, ":", "_")+":127.0.0.1_0" {
		t.Errorf("%s sockets, names %s", v["LISTEN_FDS"], v["LISTEN_FDNAMES"])
	}
	for name := range v {
		if strings.HasPrefix(name, "HANDOVER_BECOME") {
			t.Errorf("%s is set", name)
		}
	}
	for _, p := range r.Family() {
		if p.PID == pid && p.Parent != r.keeper() {
			t.Errorf("process %d stands between the keeper and the program", p.Parent)
		}
	}
}

func TestSocketIsBlockingUntilAProgramChangesThat(t *testing.T) {
	t.Parallel()
	python := start(t, kept{command: []string{pythonServer(t)}})
	if flags(t, python.PID())&syscall.O_NONBLOCK != 0 {
		t.Error("the socket was given in non-blocking mode")
	}
	r := start(t, kept{flags: []string{"-health", "/healthz", "-interval", "50ms"}})
	r.breaks("exit")
	r.stays(wire.Upgrade{}, "aborted", wire.CodeFailed)
	if flags(t, r.PID())&syscall.O_NONBLOCK == 0 {
		t.Error("an upgrade took from a running program the non-blocking mode that it had chosen")
	}
}

// flags are those of the first socket that a program was given, as proc_pid_fdinfo(5) has them.
func flags(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "fdinfo/3"))
	must(t, err)
	_, rest, _ := strings.Cut(string(text), "flags:")
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseInt(strings.TrimSpace(value), 8, 64)
	must(t, err)
	return n
}

package lifecycle

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/rig"
)

// named starts a service that has a takeover socket.
func named(t *testing.T, env ...string) *run {
	t.Helper()
	dir := filepath.Join(control.Dir(t), "run")
	r := start(t, append([]string{"HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + dir}, env...)...)
	r.takeover = filepath.Join(dir, "shop.sock")
	r.Eventually("a process that listens at the takeover socket", func() (any, bool) { return nil, listens(t, r.takeover) })
	return r
}

// listens reports whether a process listens at the path of a unix socket: the file is there a little earlier. The fourth column of
// /proc/net/unix has __SO_ACCEPTCON (proc_net(5)).
func listens(t *testing.T, path string) bool {
	t.Helper()
	sockets, err := os.ReadFile("/proc/net/unix")
	must(t, err)
	for line := range strings.Lines(string(sockets)) {
		words := strings.Fields(line)
		if len(words) == 8 && words[7] == path && words[3] == "00010000" {
			return true
		}
	}
	return false
}

// dialTakeover connects, and says nothing.
func (r *run) dialTakeover() *net.UnixConn {
	r.t.Helper()
	c, err := net.Dial("unix", r.takeover)
	must(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	must(r.t, c.SetDeadline(time.Now().Add(patience)))
	return c.(*net.UnixConn)
}

// asker is a client of the takeover socket.
type asker struct {
	link   *wire.Link
	server int // the process that listens, as the kernel has it
}

// greet makes a control client of a connection to a takeover socket.
func greet(c *net.UnixConn) (*asker, error) {
	creds, err := platform.PeerCredentials(platform.SocketFromConn(c))
	if err != nil {
		return nil, err
	}
	link, err := control.Greet(c)
	return &asker{link, creds.PID}, err
}

func (c *asker) ask(m wire.Message) (*wire.Reply, error) {
	if err := c.link.Send(0, m); err != nil {
		return nil, err
	}
	return c.reply()
}

func (c *asker) reply() (*wire.Reply, error) {
	f, err := c.link.Receive()
	if err != nil {
		return nil, err
	}
	reply, ok := f.Message.(*wire.Reply)
	if !ok {
		return nil, fmt.Errorf("%s instead of REPLY", f.Kind())
	}
	return reply, nil
}

// control connects to the takeover socket.
func (r *run) control() *asker {
	r.t.Helper()
	c, err := greet(r.dialTakeover())
	must(r.t, err)
	return c
}

// ask asks at the takeover socket, on a link of its own.
func (r *run) ask(m wire.Message) *wire.Reply {
	r.t.Helper()
	reply, err := r.control().ask(m)
	must(r.t, err)
	return reply
}

func TestTakeoverSocketAnswersStatus(t *testing.T) {
	t.Parallel()
	r := named(t)
	held := r.dial()
	held.Ask("/?id=held")
	held.Answer()
	for generation := 1; generation <= 2; generation++ {
		pid := r.PID()
		r.assertTakeoverIs(pid)
		c := r.control()
		r.Eventually("a status with one connection", func() (any, bool) {
			reply, err := c.ask(&wire.Status{})
			must(t, err)
			s := reply.Status
			if s.Service != "shop" || s.State != "serving" || s.Generation != generation || s.PID != pid || c.server != pid ||
				s.Attempt != 0 || len(s.Listeners) != 1 || s.Listeners[0].Bound != r.address || s.Build.Path == "" {
				t.Fatalf("status %+v by process %d, want generation %d in process %d, serving at %s", s, c.server, generation, pid, r.address)
			}
			return s.Connections, s.Connections == 1
		})
		if generation == 1 {
			r.Upgrade(1)
		}
	}
}

func TestTakeoverSocketUpgrades(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_READY_TIMEOUT=3s").drive()
	if reply := r.ask(&wire.Upgrade{}); reply.Outcome != "final" || reply.Attempt != 1 || reply.Error != "" {
		t.Errorf("reply %+v, want attempt 1 final", reply)
	}
	r.assertAlone(r.PID())
	r.Swap(rig.Build(t, "hang"))
	began, waits := r.WatchFor(begun), r.control()
	must(t, waits.link.Send(0, &wire.Upgrade{}))
	r.Line(began)
	if reply := r.ask(&wire.Upgrade{}); reply.Attempt != 2 || !strings.Contains(reply.Error, "a handover is under way: attempt 2") {
		t.Errorf("reply %+v, want the number of the attempt under way, 2", reply)
	}
	if s := r.ask(&wire.Status{}).Status; s.Attempt != 2 || s.State != "offering" {
		t.Errorf("status %+v, want attempt 2 in state offering", s)
	}
	reply, err := waits.reply()
	must(t, err)
	if reply.Outcome != "aborted" || reply.Attempt != 2 || !strings.Contains(reply.Error, "the successor was not ready in time") {
		t.Errorf("reply %+v, want attempt 2 aborted, and why", reply)
	}
	r.upgrades()
	r.Finish()
}

func TestTakeoverSocketStops(t *testing.T) {
	t.Parallel()
	r := named(t)
	pid, busy := r.PID(), r.dial()
	busy.Ask("/slow?id=busy&ms=500")
	r.get("/")
	if reply := r.ask(&wire.Stop{}); reply.Error != "" {
		t.Errorf("reply %+v", reply)
	}
	busy.AnswerBy(pid)
	r.AwaitExit(pid)
	r.AssertNobodyLeft()
	if _, err := os.Stat(r.takeover); !os.IsNotExist(err) {
		t.Errorf("the takeover socket is left behind: %v", err)
	}
}

package plain

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/rig"
)

// patience bounds everything that is waited for, in one test or from Renew on.
const patience = time.Minute

// kept says how a program is kept.
type kept struct {
	network string   // default tcp
	flags   []string // of the keeper
	env     []string // of the program
	fault   string   // of tiny
	command []string // default tiny
}

// run is a program under test, and its keeper.
type run struct {
	*rig.Run
	t        *testing.T
	address  string
	takeover string // path of the keeper's socket
	fault    string // the file that says what is wrong with tiny
}

// newRun is of a program that is started at address.
func newRun(t *testing.T, address string) *run {
	return &run{Run: rig.New(t, rig.Patience{Test: patience}), t: t, address: address}
}

// start runs a kept program, and waits until it answers and its keeper says that it serves.
func start(t *testing.T, k kept) *run {
	t.Helper()
	r := newRun(t, handovertest.FreeAddress(t))
	dir := control.Dir(t)
	r.takeover = filepath.Join(dir, "run", "shop.sock")
	if k.network == "unix" {
		r.address = filepath.Join(dir, "service")
	}
	if k.command == nil {
		r.fault = filepath.Join(t.TempDir(), "fault")
		r.breaks(k.fault)
		k.command = []string{tiny(t), r.fault}
	}
	self, err := os.Executable()
	must(t, err)
	flags := append([]string{"-listen", r.address, "-state", filepath.Join(t.TempDir(), "state")}, k.flags...)
	r.Start(handovertest.Service{
		Path: self, Network: k.network, Address: r.address, Args: append(flags, k.command...),
		Env: []string{
			roleVariable + "=keeper", "HANDOVER_RUNTIME_DIR=" + filepath.Dir(r.takeover),
			"PLAIN_TEST_ENV=" + strings.Join(append([]string{"HANDOVER_PROBATION=300ms", "HANDOVER_READY_TIMEOUT=10s"}, k.env...), " "),
		},
	})
	r.serving()
	return r
}

// serving waits until the keeper says that its service serves.
func (r *run) serving() {
	r.t.Helper()
	r.Eventually("a keeper whose service serves", func() (any, bool) {
		reply, err := control.Ask(r.takeover, &wire.Status{}, patience, nil)
		return err, err == nil && reply.Status != nil && reply.Status.State == "serving"
	})
}

func tiny(t *testing.T) string {
	t.Helper()
	return handovertest.Build(t, "./tiny")
}

// script makes a program of one in testdata, which its interpreter runs.
func script(t *testing.T, name string, interpreter ...string) string {
	t.Helper()
	said, err := exec.Command(interpreter[0], interpreter[1:]...).Output()
	if err != nil {
		t.Fatalf("%s is needed: %v", interpreter[0], err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", name))
	must(t, err)
	path := filepath.Join(t.TempDir(), "server")
	must(t, os.WriteFile(path, append([]byte("#!"+strings.TrimSpace(string(said))+"\n"), text...), 0o755))
	return path
}

func pythonServer(t *testing.T) string {
	t.Helper()
	return script(t, "server.py", "python3", "-c", "import sys; print(sys.executable)")
}

// breaks says what is wrong with the next tiny.
func (r *run) breaks(how string) {
	r.t.Helper()
	must(r.t, os.WriteFile(r.fault, []byte(how), 0o644))
}

// drive puts the program under a load of new connections.
func (r *run) drive(clients int) *handovertest.Driver {
	r.t.Helper()
	load := r.Load()
	load.Clients = handovertest.Clients{New: clients}
	r.Drive(load)
	return r.Driver
}

// upgrade asks for an upgrade, and returns how it ended and the states on the way.
func (r *run) upgrade(wish wire.Upgrade) (reply *wire.Reply, states []string) {
	r.t.Helper()
	wish.Watch = true
	reply, err := control.Ask(r.takeover, &wish, patience, func(s *wire.State) { states = append(states, s.State) })
	if err != nil {
		r.t.Fatalf("upgrade: %v\n%s", err, r.said())
	}
	return reply, states
}

// upgraded is an upgrade that must be final, by another process.
func (r *run) upgraded() *wire.Reply {
	r.t.Helper()
	before := r.status().PID
	reply, states := r.upgrade(wire.Upgrade{})
	states = slices.DeleteFunc(states, func(s string) bool { return s == "preparing" || s == "proving" }) // as the program says by STATUS
	if reply.Outcome != "final" || reply.PID == before || !slices.Equal(states, []string{"awaiting", "probation", "draining"}) {
		r.t.Fatalf("%+v, by way of %s, want a final upgrade from process %d to another\n%s", reply, states, before, r.said())
	}
	if s := r.status(); s.PID != reply.PID || s.Generation != reply.Generation {
		r.t.Fatalf("%+v, want process %d, generation %d", s, reply.PID, reply.Generation)
	}
	return reply
}

// stays makes sure that an upgrade ends like that, and that the process that served serves on, alone.
func (r *run) stays(wish wire.Upgrade, outcome string, code wire.Code, parts ...string) {
	r.t.Helper()
	before := r.status()
	reply, _ := r.upgrade(wish)
	if reply.Outcome != outcome || reply.Code != code {
		r.t.Fatalf("%+v, want %s, code %s\n%s", reply, outcome, code, r.said())
	}
	for _, part := range parts {
		if !strings.Contains(reply.Error, part) {
			r.t.Errorf("error %q does not say %q", reply.Error, part)
		}
	}
	after := r.status()
	if after.PID != before.PID || after.Generation != before.Generation {
		r.t.Errorf("process %d serves, want %d", after.PID, before.PID)
	}
	r.alone(before.PID)
}

// alone waits until no other program than that one is left.
func (r *run) alone(pid int) {
	r.t.Helper()
	r.Eventually("no other process", func() (any, bool) {
		family := r.Family()
		return family, !slices.ContainsFunc(family, func(p handovertest.Process) bool { return p.PID != pid && p.Parent == r.keeper() })
	})
	if got := r.PID(); got != pid {
		r.t.Errorf("process %d answers, want %d", got, pid)
	}
}

func (r *run) status() *wire.ServiceStatus {
	r.t.Helper()
	reply, err := control.Ask(r.takeover, &wire.Status{}, patience, nil)
	if err != nil || reply.Status == nil {
		r.t.Fatalf("status: %+v, %v\n%s", reply, err, r.said())
	}
	return reply.Status
}

func (r *run) keeper() int { return r.status().Keeper.PID }

// line waits for a line of output that has all parts, caused by what act does.
func (r *run) line(act func(), parts ...string) string {
	r.t.Helper()
	w := r.WatchFor(parts...)
	defer w.Forget()
	act()
	return r.Line(w)
}

// said is what the keeper and the program wrote last.
func (r *run) said() string {
	if r.Running == nil {
		return ""
	}
	return r.Output(60)
}

// environment is that with which a process was started.
func environment(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	must(t, err)
	variables := make(map[string]string)
	for _, v := range strings.Split(string(text), "\x00") {
		name, value, _ := strings.Cut(v, "=")
		variables[name] = value
	}
	return variables
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

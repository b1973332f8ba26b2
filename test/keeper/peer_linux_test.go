package keeper

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

// theKeeper is the build of the keeper, as refusals name it.
const theKeeper = "github.com/handover-go/handover/test/keeper/keep"

// enemies talk to the takeover socket and break off. want is what they are told before: nothing, or a refusal.
var enemies = []struct {
	name string
	talk func(t *testing.T, c *net.UnixConn)
	want []string
}{
	{"nothing", writes(""), nil},
	{"garbage", writes("GET / HTTP/1.1\r\nHost: service\r\n\r\n"), nil},
	{"a header cut short", writes(header(wire.KindHello, 0, 0, 0)[:9]), nil},
	{"a payload cut short", writes(header(wire.KindHello, 0, 0, 100) + "{"), nil},
	{"a payload too long", writes(header(wire.KindHello, 0, 0, wire.MaxPayload+1)), nil},
	{"a payload that is no JSON", writes(header(wire.KindHello, 0, 0, 3) + "no!"), nil},
	{"more descriptors than a frame has", writes(header(wire.KindHello, 0, 254, 0)), nil},
	{"300 descriptors", sendDescriptors, nil},
	{"no greeting", writes(header(wire.KindStatus, 0, 0, 0)), nil},
	{"a successor", greets(fields{"role": "successor"}), []string{"denied", "which alone starts its generations"}},
	{"a keeper", greets(fields{"role": "keeper"}), []string{"denied", "has a keeper"}},
	{"a draining generation", greets(fields{"role": "draining"}), []string{"denied", "has a keeper"}},
	{"a role of later", greets(fields{"role": "spectator"}), []string{"denied"}},
	{"a critical key", greets(fields{"!x": 1}), []string{"unsupported", `"!x"`, "protocol 1 to 7", "example.com/later v7.0.0", "this process 1", theKeeper}},
	{"a critical kind", writes(header(999, 1, 0, 0)), []string{"unsupported", "kind 999", "this process 1", theKeeper}},
	{"no protocol in common", greets(fields{"protocol": fields{"min": 2, "max": 3}}), []string{"unsupported", "no protocol in common", "protocol 2 to 3"}},
	{"a second greeting", greets(fields{"role": "control"}), nil},
	{"a frame of a generation", asksAs(wire.KindRegister), nil},
	{"an end of a handover", asksAs(wire.KindReply), nil},
}

// TestEnemyAtTheTakeoverSocketCostsNothing has peers talk nonsense to the keeper: the service serves on, the keeper keeps none of their
// descriptors, and upgrades straight afterwards.
func TestEnemyAtTheTakeoverSocketCostsNothing(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	pid, same, sameGoroutines := r.PID(), r.sameDescriptors(), r.sameGoroutines()
	for _, enemy := range enemies {
		c := r.dialTakeover()
		enemy.talk(t, c)
		_ = c.CloseWrite() // the other end may be closed by now
		said := heard(t, c)
		for _, part := range enemy.want {
			if !strings.Contains(said, part) {
				t.Errorf("%s: the refusal %q does not say %q", enemy.name, said, part)
			}
		}
		c.Close()
		if s := r.ask(status).Status; s.State != "serving" || s.PID != pid {
			t.Errorf("%s: status %+v", enemy.name, s)
		}
	}
	same()
	sameGoroutines()
	r.AssertServes(pid)
	r.upgrades()
	r.Finish()
}

// TestSilentPeerHoldsUpNobody connects and says nothing, greets and says nothing, and asks and does not listen, while others are
// answered, the service is upgraded, and the keeper ends.
func TestSilentPeerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := start(t, kept{}).drive()
	for range 5 {
		r.dialTakeover()
		link, err := control.Dial(r.takeover, patience)
		must(t, err)
		defer link.Close()
		watches, err := control.Dial(r.takeover, patience)
		must(t, err)
		defer watches.Close()
		must(t, watches.Send(0, &wire.Upgrade{Watch: true}))
	}
	r.upgradesSoon()
	r.assertAlone()
	r.Finish()
	w := r.WatchFor(left)
	r.Signal(r.keeper, syscall.SIGTERM)
	r.assertEnded(w, 0, "")
}

// TestPeerOfAnotherUserIsTurnedAway needs to be root to become somebody else: there is nothing to see otherwise.
func TestPeerOfAnotherUserIsTurnedAway(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root")
		return
	}
	r := start(t, kept{})
	dir := filepath.Dir(r.takeover)
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(r.takeover, 0o666))
	said := asNobody(t, r)
	if !strings.Contains(said, "denied") || !strings.Contains(said, "user 65534, this process user 0") {
		t.Errorf("user 65534 is not denied: %q", said)
	}
	must(t, os.Chmod(dir, 0o700))
	r.upgrades()
}

func (r *run) dialTakeover() *net.UnixConn {
	r.t.Helper()
	c, err := net.Dial("unix", r.takeover)
	must(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	must(r.t, c.SetDeadline(time.Now().Add(patience)))
	return c.(*net.UnixConn)
}

// header is that of a frame.
func header(kind wire.Kind, flags, descriptors byte, length uint32) string {
	b := binary.BigEndian.AppendUint16([]byte("HOVR"), uint16(kind))
	b = append(b, flags, descriptors, 0, 0, 0, 0)
	return string(binary.BigEndian.AppendUint32(b, length))
}

func writes(bytes string) func(*testing.T, *net.UnixConn) {
	return func(t *testing.T, c *net.UnixConn) {
		_, err := io.WriteString(c, bytes)
		must(t, err)
	}
}

// fields are a JSON object.
type fields map[string]any

// future is a frame as a later version might send it.
type future struct {
	kind    wire.Kind
	content any
}

func (f future) Kind() wire.Kind              { return f.kind }
func (f future) MarshalJSON() ([]byte, error) { return json.Marshal(f.content) }

// greets says HELLO twice, as a later version with some keys of its own.
func greets(own fields) func(*testing.T, *net.UnixConn) {
	return func(t *testing.T, c *net.UnixConn) {
		hello := fields{
			"protocol": fields{"min": 1, "max": 7, "best": 6}, "features": []string{"conn", "telepathy"}, "role": "control", "pid": os.Getpid(),
			"build": fields{"path": "example.com/later", "version": "v7.0.0", "colour": "blue"},
		}
		for key, value := range own {
			hello[key] = value
		}
		link := peer.NewLink(platform.SocketFromConn(c))
		must(t, link.Send(0, future{wire.KindHello, hello}))
		_ = link.Send(0, future{wire.KindHello, hello}) // the other end may be closed by now
	}
}

// asksAs greets as a control client, and then says what it may not.
func asksAs(kind wire.Kind) func(*testing.T, *net.UnixConn) {
	return func(t *testing.T, c *net.UnixConn) {
		link := peer.NewLink(platform.SocketFromConn(c))
		must(t, link.Send(0, &wire.Hello{Protocol: wire.Protocols, Role: wire.RoleControl, PID: os.Getpid()}))
		must(t, link.Send(0, future{kind, fields{"outcome": "final", "generation": 77}}, 1, 1))
	}
}

// sendDescriptors puts 300 on a frame that names none.
func sendDescriptors(t *testing.T, c *net.UnixConn) {
	rights := syscall.UnixRights(slices.Repeat([]int{1}, 150)...)
	frame := []byte(header(wire.KindHello, 0, 0, 2) + "{}")
	for _, part := range [][]byte{frame[:1], frame[1:]} {
		_, _, err := c.WriteMsgUnix(part, rights, nil)
		must(t, err)
	}
}

var printable = regexp.MustCompile(`[^ -~]+`)

// heard is what the other end says until it closes.
func heard(t *testing.T, c io.Reader) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := io.Copy(&b, c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the link is not closed: %v", err)
	}
	return strings.ReplaceAll(printable.ReplaceAllString(b.String(), " "), `\"`, `"`)
}

// strangerVariable has this test's program be somebody else, who dials the takeover socket that it names.
const strangerVariable = "HANDOVER_TEST_STRANGER"

// asNobody connects as another user, and returns what that one is told.
func asNobody(t *testing.T, r *run) string {
	t.Helper()
	const nobody = 65534
	cmd := exec.CommandContext(r.Ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), strangerVariable+"="+r.takeover)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	said, err := cmd.CombinedOutput()
	must(t, err)
	return strings.ReplaceAll(printable.ReplaceAllString(string(said), " "), `\"`, `"`)
}

// stranger is what asNobody starts.
func stranger(takeover string) {
	c, err := net.Dial("unix", takeover)
	if err == nil {
		_, err = io.Copy(os.Stdout, c)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error())
	}
}

package lifecycle

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// ours is the build of the service, as refusals name it.
const ours = "github.com/handover-go/handover/test/service"

// TestLaterVersionIsUnderstood has a speaker of a later protocol, with keys, kinds and features that this one does not know
// in every frame, go through a handover. It gives the service back, and nothing is lost.
func TestLaterVersionIsUnderstood(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_PROBATION=3s", "HANDOVER_CHECK_FAILURES=1000")
	incumbent, sameDescriptors := r.PID(), r.descriptors()
	r.drive()
	outcome := r.outcome()
	said, status := r.speak("later version", 0).wait()
	if status != 0 {
		t.Fatalf("the speaker failed: %s\n%s", said, r.Output(40))
	}
	if strings.Contains(said, "PREVIEW") {
		t.Errorf("it did not name the feature preview, and was sent PREVIEW: %q", said)
	}
	heard := slices.CompactFunc(strings.Fields(strings.ReplaceAll(said, "PREVIEW", "")), func(a, b string) bool {
		return a == "PING" && b == "PING" // one more each half second, until the wish to return has come
	})
	want := "offered FREEZE CARRY COMMIT PING RESUME RESUMED"
	if got := strings.Join(heard, " "); got != want {
		t.Errorf("the speaker heard %q, want %q", got, want)
	}
	wantReason(t, r.Line(outcome), resumed, "seen enough")
	r.AssertServes(incumbent)
	r.Finish()
	sameDescriptors()
	r.upgrades()
}

// TestCriticalKeyInAHandoverAbortsItNamingBothSides has the speaker need, after the offer, what this version does not know.
func TestCriticalKeyInAHandoverAbortsItNamingBothSides(t *testing.T) {
	t.Parallel()
	r := named(t)
	incumbent, sameDescriptors, outcome := r.PID(), r.descriptors(), r.outcome()
	said, _ := r.speak("critical key", 0).wait()
	_, refusal, _ := strings.Cut(said, "offered\n")
	wantRefusal(t, refusal, "unsupported", `"!x"`, "protocol 1 to 7", "example.com/later v7.0.0", "this process 1", ours)
	wantReason(t, r.Line(outcome), aborted, `"!x"`)
	r.AssertServes(incumbent)
	sameDescriptors()
	r.upgrades()
}

func wantRefusal(t *testing.T, refusal string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(refusal, part) {
			t.Errorf("the refusal %q does not say %q", refusal, part)
		}
	}
}

// TestJoinedProcessThatMisbehavesIsEnded has speakers break the protocol once they have the listeners.
func TestJoinedProcessThatMisbehavesIsEnded(t *testing.T) {
	t.Parallel()
	for speech, reason := range map[string]string{
		"breaks off": "end of link", "garbage": "end of link", "silence": "the successor was not ready in time",
		"adopts the unoffered": "unexpected ADOPTED", "ready before its time": "unexpected READY", "another's frame": "unexpected FINAL",
	} {
		t.Run(speech, func(t *testing.T) {
			t.Parallel()
			ready := "HANDOVER_READY_TIMEOUT=20s"
			if strings.Contains(reason, "not ready in time") { // it is waited out
				ready = "HANDOVER_READY_TIMEOUT=4s"
			}
			r := named(t, ready)
			incumbent, sameDescriptors := r.PID(), r.descriptors()
			r.drive()
			outcome := r.outcome()
			s := r.speak(speech, 0)
			wantReason(t, r.Line(outcome), aborted, reason)
			if said, status := s.wait(); status != -1 {
				t.Errorf("the speaker ended with status %d, want it killed: %s", status, said)
			}
			r.AssertServes(incumbent)
			r.Finish()
			sameDescriptors()
			r.upgrades()
		})
	}
}

// enemies talk to the takeover socket and break off. want is what they are told before: nothing, or a refusal.
var enemies = []struct {
	name string
	talk func(t *testing.T, r *run, c *net.UnixConn)
	want []string
}{
	{"garbage", writes("GET / HTTP/1.1\r\nHost: service\r\n\r\n"), nil},
	{"a header cut short", writes(header(wire.KindHello, 0, 0, 0)[:9]), nil},
	{"a payload cut short", writes(header(wire.KindHello, 0, 0, 100) + "{"), nil},
	{"a payload too long", writes(header(wire.KindHello, 0, 0, wire.MaxPayload+1)), nil},
	{"a payload that is no JSON", writes(header(wire.KindHello, 0, 0, 3) + "no!"), nil},
	{"more descriptors than a frame has", writes(header(wire.KindHello, 0, 254, 0)), nil},
	{"300 descriptors", sendDescriptors, nil},
	{"no greeting", writes(header(wire.KindStatus, 0, 0, 0)), nil},
	{"no pidfd", greets(nil, nil), []string{"denied", "HELLO came without a pidfd"}},
	{"a descriptor that is no pidfd", greets(nil, func(*run) int { return 1 }), []string{"denied", "it is not a pidfd"}},
	{"the pidfd of another", greets(nil, othersPidfd), []string{"denied", "the pidfd is of process"}},
	{"a critical key", greets(fields{"!x": 1}, nil), []string{"unsupported", `"!x"`, "protocol 1 to 7", "example.com/later v7.0.0", "this process 1", ours}},
	{"a critical kind", writes(header(999, 1, 0, 0)), []string{"unsupported", "kind 999", "this process 1", ours}},
	{"no protocol in common", greets(fields{"protocol": fields{"min": 2, "max": 3}}, nil), []string{"unsupported", "no protocol in common", "protocol 2 to 3", "example.com/later v7.0.0", "this process 1", ours}},
	{"a second greeting", greets(fields{"role": "control"}, nil), nil},
}

// TestEnemyAtTheTakeoverSocketCostsNothing has peers talk nonsense: the service serves on, keeps none of their descriptors, and is
// upgraded straight afterwards.
func TestEnemyAtTheTakeoverSocketCostsNothing(t *testing.T) {
	t.Parallel()
	r := named(t)
	incumbent, same := r.PID(), r.descriptors()
	client := r.dial()
	client.IsOf(incumbent)
	withClient := r.descriptors()
	for _, enemy := range enemies {
		t.Log(enemy.name)
		c := r.dialTakeover()
		enemy.talk(t, r, c)
		must(t, c.CloseWrite())
		wantRefusal(t, enemy.name+": "+heard(t, c), enemy.want...)
		c.Close()
		client.Ask("/?id=again")
		client.AnswerBy(incumbent)
		withClient()
	}
	client.Close()
	same()
	r.upgrades()
}

// TestKeeperThatDoesNotListenIsNone says that it is the service's keeper, and cannot be answered: the service answers at its takeover
// socket as before.
func TestKeeperThatDoesNotListenIsNone(t *testing.T) {
	t.Parallel()
	r := named(t)
	c := r.dialTakeover()
	must(t, c.CloseRead())
	self, err := platform.SelfPidfd()
	must(t, err)
	defer self.Close()
	unheard := r.WatchFor(`msg="the keeper was not told"`, "frame=HELLO")
	must(t, peer.NewLink(platform.SocketFromConn(c)).Send(0, &wire.Hello{Protocol: wire.Protocols, Role: wire.RoleKeeper, PID: os.Getpid()}, self.FD()))
	r.Line(unheard)
	if s := r.ask(&wire.Status{}).Status; s.State != "serving" || s.PID != r.PID() {
		t.Errorf("status %+v, want it serving, by process %d", s, r.PID())
	}
	r.upgrades()
}

// TestSilentPeerHoldsUpNobody connects and says nothing, while others are answered, the service is upgraded, and the
// generation that it is connected to ends.
func TestSilentPeerHoldsUpNobody(t *testing.T) {
	t.Parallel()
	r := named(t).drive()
	for range 5 {
		r.dialTakeover()
	}
	before := r.PID()
	if s := r.ask(&wire.Status{}).Status; s.PID != before {
		t.Errorf("status %+v, want that of process %d", s, before)
	}
	hand, final := r.hand(), r.WatchFor(succeeded)
	hand.start(r.Path())
	r.Line(final)
	r.AwaitExit(before)
	r.upgrades()
	r.Finish()
}

// TestPeerOfAnotherUserIsTurnedAway needs to be root to become somebody else: there is nothing to see otherwise.
func TestPeerOfAnotherUserIsTurnedAway(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root")
		return
	}
	const nobody = 65534
	r := named(t)
	incumbent, same := r.PID(), r.descriptors()
	dir := filepath.Dir(r.takeover)
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	if said, _ := r.speak("later version", nobody).wait(); !strings.Contains(said, "permission denied") {
		t.Errorf("user %d reaches a takeover socket in a directory of mode 0700: %s", nobody, said)
	}
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Chmod(r.takeover, 0o666))
	if said, _ := r.speak("later version", nobody).wait(); !strings.Contains(said, "ABORT denied") || !strings.Contains(said, "user 65534, this process user 0") {
		t.Errorf("user %d is not denied: %s", nobody, said)
	}
	must(t, os.Chmod(dir, 0o700))
	r.AssertServes(incumbent)
	same()
	r.upgrades()
}

// header is that of a frame.
func header(kind wire.Kind, flags, descriptors byte, length uint32) string {
	b := binary.BigEndian.AppendUint16([]byte("HOVR"), uint16(kind))
	b = append(b, flags, descriptors, 0, 0, 0, 0)
	return string(binary.BigEndian.AppendUint32(b, length))
}

func writes(bytes string) func(*testing.T, *run, *net.UnixConn) {
	return func(t *testing.T, _ *run, c *net.UnixConn) {
		_, err := io.WriteString(c, bytes)
		must(t, err)
	}
}

// greets says HELLO twice, as a later version with some keys of its own, and with a descriptor if one is chosen.
func greets(own fields, descriptor func(*run) int) func(*testing.T, *run, *net.UnixConn) {
	return func(t *testing.T, r *run, c *net.UnixConn) {
		hello := laterHello()
		for key, value := range own {
			hello[key] = value
		}
		var fds []int
		if descriptor != nil {
			fds = []int{descriptor(r)}
		}
		link := peer.NewLink(platform.SocketFromConn(c))
		must(t, link.Send(0, future{wire.KindHello, hello}, fds...))
		_ = link.Send(0, future{wire.KindHello, hello}) // the other end may be closed by now
	}
}

// othersPidfd is that of the service itself.
func othersPidfd(r *run) int {
	proof, err := platform.OpenPidfd(r.PID())
	must(r.t, err)
	r.t.Cleanup(func() { proof.Close() })
	return proof.FD()
}

// sendDescriptors puts 300 on a frame that names none.
func sendDescriptors(t *testing.T, _ *run, c *net.UnixConn) {
	rights := syscall.UnixRights(slices.Repeat([]int{1}, 150)...)
	frame := []byte(header(wire.KindHello, 0, 0, 2) + "{}")
	for _, part := range [][]byte{frame[:1], frame[1:]} {
		_, _, err := c.WriteMsgUnix(part, rights, nil)
		must(t, err)
	}
}

var printable = regexp.MustCompile(`[^ -~]+`)

// heard is what the other end says until it closes.
func heard(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := io.Copy(&b, c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("the link is not closed: %v", err)
	}
	return strings.ReplaceAll(printable.ReplaceAllString(b.String(), " "), `\"`, `"`)
}

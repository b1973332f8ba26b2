package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// A speaker is a process that talks to a takeover socket as another version of the library might, or an enemy. It is this
// test's own program: an incumbent kills a successor that misbehaves.
const (
	speechVariable   = "HANDOVER_TEST_SPEECH"
	takeoverVariable = "HANDOVER_TEST_TAKEOVER"
)

func TestMain(m *testing.M) {
	if speech := os.Getenv(speechVariable); speech != "" {
		if err := speak(speech, os.Getenv(takeoverVariable)); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// speaker has joined the service.
type speaker struct {
	link    *wire.Link
	attempt uint32
	fds     []int // of listeners
}

var speeches = map[string]func(*speaker) error{
	"later version":         (*speaker).handover,
	"critical key":          (*speaker).needsTheUnknown,
	"breaks off":            func(s *speaker) error { return s.link.Close() },
	"garbage":               func(s *speaker) error { return s.link.Send(s.attempt, future{wire.KindConn, "garbage"}) },
	"silence":               func(*speaker) error { return nil },
	"adopts the unoffered":  func(s *speaker) error { return s.say(wire.KindAdopted, fields{"adopted": []int{99}}) },
	"ready before its time": func(s *speaker) error { return s.say(wire.KindReady, nil) },
	"another's frame":       func(s *speaker) error { return s.say(wire.KindFinal, nil) },
}

// speak dials, and says what it is there for.
func speak(speech, takeover string) error {
	if speech == "incumbent" {
		return offerAndEnd(os.NewFile(3, "link"))
	}
	c, err := net.Dial("unix", takeover)
	if err != nil {
		return err
	}
	s := &speaker{link: peer.NewLink(platform.SocketFromConn(c.(*net.UnixConn)))}
	self, err := platform.SelfPidfd()
	if err != nil {
		return err
	}
	// Whoever is turned away at once may not be listened to, but is told why.
	unheard := s.link.Send(0, future{wire.KindHello, laterHello()}, self.FD())
	if err := s.takeOffer(); err != nil {
		return errors.Join(err, unheard)
	}
	fmt.Println("offered")
	if part, ok := parts[speech]; ok {
		return s.play(part)
	}
	if err := speeches[speech](s); err != nil {
		return err
	}
	if speech != "later version" {
		_, err = io.Copy(io.Discard, os.Stdin) // whoever it talked to ends it
	}
	return err
}

// laterHello is how a build of a later version greets: it speaks more, knows more, and does not know "preview".
func laterHello() fields {
	return fields{
		"protocol": fields{"min": 1, "max": 7, "best": 6}, "features": []string{"carry", "conn", "redirect", "telepathy"},
		"role": "successor", "pid": os.Getpid(), "mood": "good",
		"build": fields{"path": "example.com/later", "version": "v7.0.0", "colour": "blue"},
	}
}

// takeOffer receives the listeners, and says on the way what version 1 does not know.
func (s *speaker) takeOffer() error {
	f, err := s.link.Receive()
	if err != nil {
		return err
	}
	offer, ok := f.Message.(*wire.Offer)
	switch {
	case !ok:
		if abort, ok := f.Message.(*wire.Abort); ok {
			return fmt.Errorf("ABORT %s: %s", abort.Code, abort.Reason)
		}
		return fmt.Errorf("%s instead of OFFER", f.Kind())
	case offer.Protocol != 1 || !slices.Equal(offer.Features, []string{"carry", "conn", "redirect"}):
		return fmt.Errorf("OFFER in protocol %d with features %q", offer.Protocol, offer.Features)
	}
	s.attempt = f.Attempt
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	defer w.Close()
	if err := s.link.Send(s.attempt, future{999, fields{"news": true}}, int(r.Fd())); err != nil {
		return err
	}
	for len(s.fds) < len(offer.Listeners) {
		if f, err = s.link.Receive(); err != nil {
			return err
		}
		s.fds = append(s.fds, f.Descriptors...)
		if err := s.say(wire.KindAck, fields{"next": len(s.fds)}); err != nil {
			return err
		}
	}
	return nil
}

// handover goes through a handover up to probation, and gives the service back.
func (s *speaker) handover() error {
	if err := s.say(wire.KindAdopted, fields{"adopted": []int{0}}); err != nil {
		return err
	}
	if err := s.say(wire.KindReady, nil); err != nil {
		return err
	}
	answers := map[wire.Kind][]wire.Kind{
		wire.KindCarry: {wire.KindImported}, wire.KindCommit: {wire.KindServing}, wire.KindResume: {wire.KindReturned},
		wire.KindResumed: {wire.KindGone}, wire.KindPing: {wire.KindPong, wire.KindReturn}, wire.KindFreeze: nil,
	}
	for {
		f, err := s.link.Receive()
		if err != nil {
			return err
		}
		fmt.Println(f.Kind())
		for _, fd := range f.Descriptors {
			_ = platform.CloseFD(fd)
		}
		for _, kind := range answers[f.Kind()] {
			if err := s.say(kind, fields{"reason": "seen enough", "seq": 1}); err != nil {
				return err
			}
		}
		if f.Kind() == wire.KindResumed {
			return s.link.Close()
		}
	}
}

// needsTheUnknown sends a critical key in the middle of a handover, and says how it is refused.
func (s *speaker) needsTheUnknown() error {
	if err := s.say(wire.KindAdopted, fields{"adopted": []int{0}, "!x": 1}); err != nil {
		return err
	}
	f, err := s.link.Receive()
	if err != nil {
		return err
	}
	abort, ok := f.Message.(*wire.Abort)
	if !ok {
		return fmt.Errorf("%s instead of ABORT", f.Kind())
	}
	fmt.Printf("%s: %s\n", abort.Code, abort.Reason)
	return nil
}

// say sends a frame with keys that version 1 does not know.
func (s *speaker) say(kind wire.Kind, known fields) error {
	all := fields{"mood": "good", "later": fields{"!nested": "is not critical"}}
	for key, value := range known {
		all[key] = value
	}
	return s.link.Send(s.attempt, future{kind, all})
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

// speaking is a speaker that was started.
type speaking struct {
	r     *run
	cmd   *exec.Cmd
	stdin io.Writer
	said  transcript
}

// transcript is what a process writes, also while it does.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *transcript) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// speak starts a speaker, as another user if uid is not 0.
func (r *run) speak(speech string, uid uint32) *speaking {
	r.t.Helper()
	s := &speaking{r: r, cmd: exec.CommandContext(r.Ctx, "/proc/self/exe")}
	s.cmd.Env = append(os.Environ(), speechVariable+"="+speech, takeoverVariable+"="+r.takeover,
		"GORACE=atexit_sleep_ms=0",  // with the race detector a program rests for a second before it has ended
		"GODEBUG=asyncpreemptoff=1") // the runtime's own signals would stop it when it is traced, see diesSlowly
	s.cmd.Stdout, s.cmd.Stderr = &s.said, &s.said
	if uid != 0 {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	stdin, err := s.cmd.StdinPipe() // open as long as this process lives
	must(r.t, err)
	s.stdin = stdin
	r.t.Cleanup(func() { stdin.Close() })
	must(r.t, s.cmd.Start())
	return s
}

// wait returns what it said, and how it ended: 0 is success, -1 by a signal.
func (s *speaking) wait() (said string, status int) {
	s.r.t.Helper()
	err := s.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		s.r.t.Fatal(err)
	}
	return s.said.String(), s.cmd.ProcessState.ExitCode()
}

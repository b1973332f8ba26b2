package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
	"github.com/handover-go/handover/test/traffic"
)

// elder is an incumbent of a later version of the library: this process, which serves, and answers at the takeover socket.
type elder struct {
	t        *testing.T
	address  string
	listener *net.TCPListener
	takeover *net.UnixListener
	load     *handovertest.Driver
	env      []string // of a process that joins it
	link     *wire.Link
	hello    *wire.Hello // of the process that joined
}

// newElder serves under load.
func newElder(t *testing.T) *elder {
	t.Helper()
	e := &elder{t: t, address: handovertest.FreeAddress(t)}
	dir := filepath.Join(control.Dir(t), "run")
	must(t, os.MkdirAll(dir, 0o700))
	ln, err := net.Listen("tcp", e.address)
	must(t, err)
	e.listener = ln.(*net.TCPListener)
	e.takeover, err = net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "shop.sock"), Net: "unix"})
	must(t, err)
	e.takeover.SetUnlinkOnClose(false)
	must(t, e.takeover.SetDeadline(time.Now().Add(patience)))
	srv := &http.Server{Handler: traffic.Handler(func() int { return 41 })}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		e.takeover.Close()
		srv.Close()
		<-served
	})
	e.load, err = handovertest.Drive(t.Context(), handovertest.Load{Address: e.address, Clients: handovertest.Clients{KeepAlive: 2, New: 3, Slow: 1, Upload: 1}})
	must(t, err)
	e.env = []string{
		"ADDR=" + e.address, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + dir, "HANDOVER_PROBATION=100ms",
		"HANDOVER_CHECK_INTERVAL=50ms", "GORACE=atexit_sleep_ms=0",
	}
	return e
}

// elderAttempt is the number of the handover.
const elderAttempt = 7

// laterBuild is how it names itself.
var laterBuild = fields{"path": "example.com/later", "version": "v7.0.0", "colour": "blue"}

// greeted waits for a process that joins.
func (e *elder) greeted() error {
	c, err := e.takeover.AcceptUnix()
	if err != nil {
		return err
	}
	e.t.Cleanup(func() { c.Close() })
	e.link = peer.NewLink(platform.SocketFromConn(c))
	if err := e.link.SetReceiveDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if e.hello, err = hear[*wire.Hello](e); err == nil && (e.hello.Role != wire.RoleSuccessor || e.hello.Protocol != wire.Protocols) {
		err = fmt.Errorf("HELLO %+v", e.hello)
	}
	return err
}

// hear receives the next frame, which must be of that kind.
func hear[M wire.Message](e *elder) (m M, err error) {
	f, err := e.link.Receive()
	for _, fd := range f.Descriptors {
		_ = platform.CloseFD(fd)
	}
	if err != nil {
		return m, err
	}
	m, ok := f.Message.(M)
	if !ok {
		return m, fmt.Errorf("%s %+v instead of %T", f.Kind(), f.Message, m)
	}
	return m, nil
}

// say sends a frame with keys that version 1 does not know.
func (e *elder) say(kind wire.Kind, known fields, fds ...int) error {
	all := fields{"mood": "good", "later": fields{"!nested": "is not critical"}}
	for key, value := range known {
		all[key] = value
	}
	return e.link.Send(elderAttempt, future{kind, all}, fds...)
}

// offer offers the listener, and says on the way what version 1 does not know.
func (e *elder) offer(own fields) error {
	self, err := platform.SelfPidfd()
	if err != nil {
		return err
	}
	defer self.Close()
	offer := fields{
		"protocol": 1, "features": []string{"carry", "conn", "preview", "redirect", "telepathy"}, "service": "shop", "generation": 41,
		"pid": os.Getpid(), "build": laterBuild, "schemas": fields{"cart": 7},
		"listeners": []fields{{"network": "tcp", "address": e.address, "ordinal": 0, "bound": e.address, "taste": "sweet"}},
	}
	for key, value := range own {
		offer[key] = value
	}
	return e.say(wire.KindOffer, offer, self.FD())
}

// handOver goes through a handover, and says in every frame what version 1 does not know.
func (e *elder) handOver() error {
	if err := e.offer(nil); err != nil {
		return err
	}
	fd, err := platform.FD(e.listener)
	if err != nil {
		return err
	}
	if err := e.link.Send(elderAttempt, future{999, fields{"news": true}}, fd); err != nil {
		return err
	}
	if err := e.say(wire.KindListeners, fields{"first": 0}, fd); err != nil {
		return err
	}
	if m, err := hear[*wire.Ack](e); err != nil || m.Next != 1 || m.Lost {
		return errors.Join(err, fmt.Errorf("ACK %+v", m))
	}
	if m, err := hear[*wire.Adopted](e); err != nil || len(m.Adopted) != 1 || len(m.Added) != 0 {
		return errors.Join(err, fmt.Errorf("ADOPTED %+v", m))
	}
	if _, err := hear[*wire.Ready](e); err != nil {
		return err
	}
	if err := e.say(wire.KindFreeze, fields{"budget_ms": 5000}); err != nil {
		return err
	}
	if err := e.listener.Close(); err != nil { // the successor holds it
		return err
	}
	if err := e.link.Send(elderAttempt, &wire.Carry{EndOfRound: true}); err != nil {
		return err
	}
	if _, err := hear[*wire.Imported](e); err != nil {
		return err
	}
	if err := e.say(wire.KindCommit, fields{"generation": 50}); err != nil {
		return err
	}
	if _, err := hear[*wire.Serving](e); err != nil {
		return err
	}
	if err := e.say(wire.KindPing, fields{"seq": 3}); err != nil {
		return err
	}
	if m, err := hear[*wire.Pong](e); err != nil || m.Seq != 3 {
		return errors.Join(err, fmt.Errorf("PONG %+v", m))
	}
	if fd, err = platform.FD(e.takeover); err != nil {
		return err
	}
	if err := e.say(wire.KindFinal, fields{"takeover": true, "draining": []fields{}}, fd); err != nil {
		return err
	}
	return e.say(wire.KindGone, nil)
}

// TestLaterIncumbentIsSucceeded has this build join an incumbent of a later protocol, which says in every frame what it does not
// know: nothing is lost, and the service is upgraded afterwards.
func TestLaterIncumbentIsSucceeded(t *testing.T) {
	t.Parallel()
	e := newElder(t)
	r := newRun(t, e.address)
	r.takeover, r.Driver = e.takeover.Addr().String(), e.load
	r.Start(handovertest.Service{Path: rig.Build(t, ""), Address: e.address, Env: e.env})
	must(t, e.greeted())
	final := r.WatchFor(succeeded)
	if err := e.handOver(); err != nil {
		t.Fatalf("%v\n%s", err, r.Output(60))
	}
	line := r.Line(final)
	if journal.Number(t, line, "generation") != 50 {
		t.Errorf("%q, want generation 50", line)
	}
	must(t, e.takeover.Close())
	r.AssertServes(journal.Number(t, line, "pid"))
	r.assertTakeoverIs(journal.Number(t, line, "pid"))
	r.upgrades()
	r.Finish()
}

// TestLaterIncumbentThatIsNotUnderstoodServesOn has a process join an incumbent of which it does not know what it must: it says so,
// names both sides, and ends; the incumbent loses nothing.
func TestLaterIncumbentThatIsNotUnderstoodServesOn(t *testing.T) {
	t.Parallel()
	both := []string{"example.com/later v7.0.0", ours}
	for name, c := range map[string]struct {
		does func(*elder) error
		says []string
	}{
		"a critical key":                {func(e *elder) error { return e.isRefused(fields{"!x": 1}) }, []string{`"!x"`, "protocol 1 ", "this process 1 "}},
		"a protocol that was not named": {func(e *elder) error { return e.isRefused(fields{"protocol": 2}) }, []string{"protocol 2 ", "this process 1 "}},
		"no protocol in common":         {(*elder).refuses, []string{"no protocol in common", "the peer speaks protocol 1 ", "this process 2 to 3 "}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newElder(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				err := e.greeted()
				if err == nil {
					err = c.does(e)
				}
				done <- err
			}()
			said := fails(t, ctx, rig.Build(t, ""), append(os.Environ(), e.env...))
			must(t, <-done)
			for _, part := range append(both, c.says...) {
				wantEnd(t, said, part)
			}
			if err := e.load.WaitAnswers(ctx, 20); err != nil {
				t.Fatal(err)
			}
			handovertest.AssertNothingLost(t, e.load.Stop())
		})
	}
}

// isRefused makes an offer that this build cannot take, and is told so.
func (e *elder) isRefused(own fields) error {
	if err := e.offer(own); err != nil {
		return err
	}
	abort, err := hear[*wire.Abort](e)
	if err == nil && (abort.Code != wire.CodeUnsupported || !strings.Contains(abort.Reason, "example.com/later v7.0.0") || abort.Build.Path != ours) {
		err = fmt.Errorf("ABORT %+v", abort)
	}
	return err
}

// refuses answers as a version that has given up protocol 1.
func (e *elder) refuses() error {
	reason := &wire.UnsupportedError{
		Reason: "no protocol in common", Ours: wire.Range{Min: 2, Max: 3}, OurBuild: wire.Build{Path: "example.com/later", Version: "v7.0.0"},
		Theirs: e.hello.Protocol, TheirBuild: e.hello.Build,
	}
	return e.say(wire.KindAbort, fields{"code": "unsupported", "reason": reason.Error(), "protocol": fields{"min": 2, "max": 3}, "build": laterBuild})
}

package lifecycle

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/journal"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestIncumbentIsKnownByItsPidfdNotByAPid has a takeover socket name a process that lives, as a pid does that was given to another, while
// the incumbent that answers there dies: the process that joins goes on as the service.
func TestIncumbentIsKnownByItsPidfdNotByAPid(t *testing.T) {
	t.Parallel()
	r := named(t)
	hand := r.hand()
	r.KillAll()
	must(t, os.Remove(r.takeover))
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: r.takeover, Net: "unix"}) // in the name of this process
	must(t, err)
	ln.SetUnlinkOnClose(false)
	must(t, ln.SetDeadline(time.Now().Add(patience)))
	serves := r.WatchFor(`msg="the incumbent died: this generation serves"`)
	hand.start(r.Path())
	c, err := ln.AcceptUnix()
	must(t, err)
	must(t, ln.Close())
	link, err := c.File()
	must(t, err)
	must(t, c.Close())
	incumbent := exec.CommandContext(r.Ctx, "/proc/self/exe")
	incumbent.Env = append(os.Environ(), speechVariable+"=incumbent", "GORACE=atexit_sleep_ms=0")
	incumbent.ExtraFiles = []*os.File{link}
	said, err := incumbent.CombinedOutput()
	must(t, link.Close())
	if err != nil {
		t.Fatalf("the incumbent failed: %v, %s", err, said)
	}
	r.AssertServes(journal.Number(t, r.Line(serves), "pid"))
	r.upgrades()
}

// offerAndEnd is an incumbent without listeners, which ends when the successor has adopted them.
func offerAndEnd(link *os.File) error {
	c, err := net.FileConn(link)
	if err := errors.Join(err, link.Close()); err != nil {
		return err
	}
	l := peer.NewLink(platform.SocketFromConn(c.(*net.UnixConn)))
	if f, err := l.Receive(); err != nil || f.Kind() != wire.KindHello {
		return fmt.Errorf("%v instead of HELLO, %w", f, err)
	}
	self, err := platform.SelfPidfd()
	if err != nil {
		return err
	}
	offer := fields{"protocol": 1, "features": []string{}, "service": "shop", "generation": 7, "pid": os.Getpid(), "listeners": []fields{}}
	if err := l.Send(1, future{wire.KindOffer, offer}, self.FD()); err != nil {
		return err
	}
	f, err := l.Receive()
	if err == nil && f.Kind() != wire.KindAdopted {
		err = fmt.Errorf("%s instead of ADOPTED", f.Kind())
	}
	return err
}

// TestProcessThatJoinsIsTurnedAwayWhileOneThatWasStartedPrepares has two successors at once, of different origin.
func TestProcessThatJoinsIsTurnedAwayWhileOneThatWasStartedPrepares(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_READY_TIMEOUT=4s").drive()
	incumbent, hand, good := r.PID(), r.hand(), rig.Build(t, "")
	r.Swap(rig.Build(t, "hang"))
	prepares, outcome := r.WatchFor("to=preparing"), r.outcome()
	r.begin()
	r.Line(prepares)
	wantEnd(t, hand.fails(good), "a handover is under way: attempt 1")
	wantReason(t, r.Line(outcome), aborted, "the successor was not ready in time")
	r.AssertServes(incumbent)
	r.assertAlone(incumbent)
	r.upgrades()
	r.Finish()
}

// TestOfTwoThatJoinAtOnceOneSucceeds starts them at the same time: the other is told that a handover is under way.
func TestOfTwoThatJoinAtOnceOneSucceeds(t *testing.T) {
	t.Parallel()
	r := named(t, "HANDOVER_PROBATION=3s").drive()
	before, hand := r.PID(), r.hand()
	final, turnedAway := r.WatchFor(succeeded), r.WatchFor(ended)
	starts := exec.CommandContext(r.Ctx, "sh", "-c", `"$0" & "$0" &`, r.Path())
	starts.Env, starts.Stdout, starts.Stderr = hand.env, hand.output, hand.output
	must(t, starts.Run())
	if line := r.Line(turnedAway); !strings.Contains(journal.Attribute(line, "error"), "a handover is under way: attempt 1") {
		t.Errorf("%q, want one of them turned away with the number of the attempt under way, 1", line)
	}
	successor := journal.Number(t, r.Line(final), "pid")
	r.AwaitExit(before)
	r.AssertServes(successor)
	r.assertAlone(successor)
	r.upgrades()
	r.Finish()
}

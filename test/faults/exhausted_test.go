//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

// TestReceiverWithoutDescriptorsTakesConnectionsLater: while the generation that serves has no descriptor left, connections stay where they
// are, sessions too, and are served; they follow as soon as it has. Guards: life.judge, "frame.Lost", and link.claim, which tells
// a later frame's descriptors from those that were lost.
func TestReceiverWithoutDescriptorsTakesConnectionsLater(t *testing.T) {
	t.Parallel()
	address := handovertest.FreeAddress(t)
	r := armed(t, fault{"receive", "FINAL", "before", "STOP"}, handovertest.Clients{KeepAlive: 2, Idle: 2}, "SESSIONS=tcp:"+address)
	incumbent := r.PID()
	all := dialSessions(t, address, sessionsEach, incumbent)
	all.begin()
	watch := r.watchStrike()
	r.upgrade()
	successor := r.victim(watch)
	awaitStopped(r.Run, successor)
	undo := exhaust(successor)
	r.Signal(successor, syscall.SIGCONT)
	r.settle()
	quiet := all.all[0]
	for range 200 {
		if by, err := quiet.say("who"); err != nil || by != strconv.Itoa(incumbent) {
			t.Fatalf("a session is served by process %s, %v; want %d", by, err, incumbent)
		}
	}
	undo()
	r.AwaitExit(incumbent)
	if lost := all.end(); lost > 0 {
		t.Errorf("%d sessions are lost", lost)
	}
	r.finish()
}

// TestSuccessorWithoutDescriptorsAtFinalAnswersAtItsSocketLater: the takeover socket that came with FINAL is lost, and another cannot be
// made, until there are descriptors. Guard: door.awaitAnswer, which tries again.
func TestSuccessorWithoutDescriptorsAtFinalAnswersAtItsSocketLater(t *testing.T) {
	t.Parallel()
	dir := control.Dir(t)
	r := armed(t, fault{"receive", "FINAL", "before", "STOP"}, handovertest.Clients{KeepAlive: 2}, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR="+dir)
	watch := r.watchStrike()
	bare := r.WatchFor("no takeover socket")
	r.upgrade()
	successor := r.victim(watch)
	awaitStopped(r.Run, successor)
	undo := exhaust(successor)
	r.Signal(successor, syscall.SIGCONT)
	r.Line(bare, "the successor has a takeover socket without a descriptor")
	undo()
	r.Eventually("the successor answers", func() (any, bool) {
		reply, err := control.Ask(filepath.Join(dir, "shop.sock"), &wire.Status{}, time.Second, nil)
		return err, err == nil && reply.Status != nil && reply.Status.PID == successor
	})
	r.finish()
}

// TestServiceThatHadNoDescriptorsAnswersAtItsSocketAgain: whoever asks while none is free waits, and is answered, as is everybody after
// that. It is said once that nobody can be answered, and once that it is over. Guard: accept.Each, which accepts again.
func TestServiceThatHadNoDescriptorsAnswersAtItsSocketAgain(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "door-") // t.TempDir is too long for a socket
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := serve(t, handovertest.FreeAddress(t), "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR="+dir)
	asks := func() error {
		reply, err := control.Ask(filepath.Join(dir, "shop.sock"), &wire.Status{}, patience, nil)
		if err == nil && (reply.Status == nil || reply.Status.PID != r.PID()) {
			err = fmt.Errorf("reply %+v", reply)
		}
		return err
	}
	r.Eventually("an answer at the takeover socket", func() (any, bool) { err := asks(); return err, err == nil }) // made when it serves
	begins, over := r.WatchFor("nobody is taken in"), r.WatchFor("clients are taken in again")
	undo := exhaust(r.PID())
	early := make(chan error, 1)
	go func() { early <- asks() }()
	r.Line(begins, "accepting without a descriptor")
	undo()
	must(t, <-early)
	r.Line(over, "accepting with descriptors again")
	must(t, asks())
	if n := strings.Count(r.Output(1000), "nobody is taken in"); n != 1 {
		t.Errorf("said %d times\n%s", n, r.Output(60))
	}
}

// exhaust leaves a process the descriptors that it has, and no more until undo.
func exhaust(pid int) (undo func()) {
	var before unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		return nil // it has ended
	}
	none := unix.Rlimit{Cur: 0, Max: before.Max} // those that are open stay
	if unix.Prlimit(pid, unix.RLIMIT_NOFILE, &none, nil) != nil {
		return nil
	}
	return func() { _ = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &before, nil) }
}

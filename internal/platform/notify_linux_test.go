package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// manager is a service manager's end of the protocol.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

func receiveState(c *net.UnixConn) (state string, fds []int, err error) {
	p, control := make([]byte, 4096), make([]byte, controlSpace)
	n, controlLen, _, _, err := c.ReadMsgUnix(p, control)
	if err != nil {
		return "", nil, err
	}
	fds, err = parseRights(control[:controlLen])
	return string(p[:n]), fds, err
}

func TestNotifyDeliversStateAndDescriptors(t *testing.T) {
	leaksNothing(t)
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@handover-notify-%d", os.Getpid())} {
		c := manager(t, name)
		must(t, Notify(t.Context(), name, "READY=1\nSTATUS=serving"))
		state, fds, err := receiveState(c)
		must(t, err)
		if state != "READY=1\nSTATUS=serving" || len(fds) != 0 {
			t.Fatalf("%s: %q and %d descriptors", name, state, len(fds))
		}
		must(t, Notify(t.Context(), name, "FDSTORE=1", 0, 1))
		state, fds, err = receiveState(c)
		must(t, err)
		closeAll(fds)
		if state != "FDSTORE=1" || len(fds) != 2 {
			t.Fatalf("%s: %q and %d descriptors", name, state, len(fds))
		}
	}
}

func TestNotifyRefusesWhatIsNoAddress(t *testing.T) {
	leaksNothing(t)
	for _, name := range []string{"", "relative", "vsock:2:1234"} {
		if Notify(t.Context(), name, "READY=1") == nil {
			t.Errorf("%q was taken", name)
		}
	}
	if err := Notify(t.Context(), filepath.Join(t.TempDir(), "nobody"), "READY=1"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nobody there: %v", err)
	}
}

func TestNotifyWaitsForAFullManagerAsLongAsItsContext(t *testing.T) {
	leaksNothing(t)
	name := filepath.Join(t.TempDir(), "notify")
	c := manager(t, name)
	sent := 0
	for {
		err := Notify(within(t, 50*time.Millisecond), name, "STATUS=busy")
		if errors.Is(err, context.DeadlineExceeded) {
			break
		}
		must(t, err)
		sent++
	}
	waiting := make(chan error, 1)
	go func() { waiting <- Notify(within(t, patience), name, "STATUS=last") }()
	for range sent {
		_, _, err := receiveState(c)
		must(t, err)
	}
	must(t, <-waiting)
	if state, _, err := receiveState(c); err != nil || state != "STATUS=last" {
		t.Fatalf("%q, %v", state, err)
	}
}

func TestBarrierEndsWhenTheManagerHasClosedIt(t *testing.T) {
	leaksNothing(t)
	name := filepath.Join(t.TempDir(), "notify")
	c := manager(t, name)
	// Held and not closed, it waits.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := make(chan error, 1)
	go func() { waiting <- NotifyBarrier(ctx, name) }()
	state, fds, err := receiveState(c)
	must(t, err)
	select {
	case err := <-waiting:
		t.Fatalf("barrier not worked through: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Fatalf("barrier not worked through: %v", err)
	}
	closeAll(fds)
	if state != "BARRIER=1" || len(fds) != 1 {
		t.Fatalf("%q and %d descriptors", state, len(fds))
	}

	passed := make(chan error, 1)
	go func() { passed <- NotifyBarrier(within(t, patience), name) }()
	_, fds, err = receiveState(c)
	must(t, err)
	select {
	case err := <-passed:
		t.Fatalf("passed before the manager closed it: %v", err)
	default:
	}
	closeAll(fds)
	must(t, <-passed)
}

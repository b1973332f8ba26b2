package platform

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const roleVariable = "HANDOVER_PLATFORM_TEST_ROLE"

// patience bounds waits that are expected to end by themselves.
const patience = 5 * time.Second

// roles are what the test binary does when it is run again as another process; each gets the inherited link.
var roles = map[string]func(*Socket) error{
	"echo":     echo,
	"starved":  receiveStarved,
	"crowded":  sendCrowded,
	"relisten": relistenReceived,
}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		link, err := NewSocket(3)
		if err == nil {
			err = roles[role](link)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "role %s: %v\n", role, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The poller opens descriptors of its own on first use, which is no leak of a test.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = ln.Close()
	}
	os.Exit(m.Run())
}

// start runs a role in another process and returns it with the link to it. It is ended and reaped by the test's end.
func start(t *testing.T, role string) (*exec.Cmd, *Socket) {
	t.Helper()
	local, remote, err := Pair()
	must(t, err)
	cmd := exec.Command(os.Args[0])
	// The race detector would hold each process up for a second as it exits.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{remote}
	cmd.Stderr = os.Stderr
	must(t, cmd.Start())
	must(t, remote.Close())
	t.Cleanup(func() {
		_ = local.Close()
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	must(t, local.SetReadDeadline(time.Now().Add(patience)))
	must(t, local.SetWriteDeadline(time.Now().Add(patience)))
	return cmd, local
}

// echo answers every message with its own bytes and descriptors.
func echo(link *Socket) error {
	p := make([]byte, 4096)
	for {
		n, fds, err := link.Recv(p)
		if err != nil {
			return nil // the test is over
		}
		if err := link.Send(p[:n], fds); err != nil {
			return err
		}
		closeAll(fds)
	}
}

// leaksNothing fails the test if more descriptors are open at its end than now.
func leaksNothing(t *testing.T) {
	t.Helper()
	before := openDescriptors(t)
	t.Cleanup(func() {
		if after := openDescriptors(t); after != before {
			t.Errorf("%d descriptors open after the test, %d before", after, before)
		}
	})
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func isOpen(fd int) bool {
	_, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err == nil
}

func isCloseOnExec(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	must(t, err)
	return flags&unix.FD_CLOEXEC != 0
}

func isNonblocking(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	must(t, err)
	return flags&unix.O_NONBLOCK != 0
}

// duplicate gives a descriptor that can be handed over, as one received from a peer would be.
func duplicated(t *testing.T, fd int) int {
	t.Helper()
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	must(t, err)
	return d
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

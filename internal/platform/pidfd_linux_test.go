package platform

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestPidfdSaysDeadOnlyAfterTheProcessEnded(t *testing.T) {
	leaksNothing(t)
	cmd, link := start(t, "echo")
	p, err := OpenPidfd(cmd.Process.Pid)
	must(t, err)
	defer p.Close()
	if p.PID() != cmd.Process.Pid || !isCloseOnExec(t, p.FD()) {
		t.Fatalf("pid %d, want %d", p.PID(), cmd.Process.Pid)
	}
	if p.Dead() {
		t.Fatal("a living process is called dead")
	}
	waited := make(chan error, 2)
	for range cap(waited) {
		go func() { waited <- p.Wait(within(t, patience)) }()
	}
	must(t, p.Kill())
	for range cap(waited) {
		must(t, <-waited)
	}
	// It is a zombie: dead, its end of the link closed, and not reaped by the wait.
	if !p.Dead() {
		t.Fatal("a process that was waited for is not dead")
	}
	if !link.Readable() {
		t.Fatal("the descriptors of a dead process are open")
	}
	must(t, p.Kill())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, p.Wait(ended))
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("wait: %v", err)
	}
	must(t, p.Kill())
	if !p.Dead() {
		t.Fatal("a reaped process is not dead")
	}
	if _, err := OpenPidfd(cmd.Process.Pid); !errors.Is(err, unix.ESRCH) {
		t.Fatalf("open a reaped process: %v", err)
	}
}

// TestDeathIsLearntOfWhenNoDescriptorIsAllowed: poll(2) cannot be used at the instant of the death. Guard: awaitDeath asks again.
func TestDeathIsLearntOfWhenNoDescriptorIsAllowed(t *testing.T) {
	leaksNothing(t)
	cmd, _ := start(t, "echo")
	p, err := OpenPidfd(cmd.Process.Pid)
	must(t, err)
	defer p.Close()
	waited := make(chan error, 1)
	go func() { waited <- p.Wait(t.Context()) }()
	var before unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	must(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: before.Max}, nil))
	err = p.Kill()
	blind := time.NewTimer(50 * time.Millisecond) // in which the poller has told of the death
	<-blind.C
	must(t, errors.Join(err, unix.Prlimit(0, unix.RLIMIT_NOFILE, &before, nil)))
	select {
	case err := <-waited:
		must(t, err)
	case <-within(t, patience).Done():
		t.Error("nobody learns of the death")
	}
	_ = cmd.Wait() // killed
}

func TestStoppedProcessIsNotDead(t *testing.T) {
	leaksNothing(t)
	cmd, _ := start(t, "echo")
	p, err := OpenPidfd(cmd.Process.Pid)
	must(t, err)
	defer p.Close()
	must(t, cmd.Process.Signal(unix.SIGSTOP))
	must(t, unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil))
	if p.Dead() {
		t.Fatal("a stopped process is called dead")
	}
	if err := p.Wait(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("wait for a stopped process: %v", err)
	}
	must(t, p.Kill())
	must(t, p.Wait(within(t, patience)))
}

func TestEachWaitHonoursItsOwnContext(t *testing.T) {
	leaksNothing(t)
	p, err := SelfPidfd()
	must(t, err)
	long, stop := context.WithCancel(t.Context())
	waited := make(chan error, 1)
	go func() { waited <- p.Wait(long) }()
	if err := p.Wait(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("second wait: %v", err)
	}
	stop()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Fatalf("first wait: %v", err)
	}
	go func() { waited <- p.Wait(context.Background()) }()
	must(t, p.Close())
	if err := <-waited; !errors.Is(err, os.ErrClosed) {
		t.Fatalf("wait over a close: %v", err)
	}
	if err := p.Kill(); !errors.Is(err, os.ErrClosed) || p.Dead() {
		t.Fatalf("a closed pidfd: kill %v, dead %t", err, p.Dead())
	}
}

func TestReceivedPidfdIsProofOfItsProcess(t *testing.T) {
	leaksNothing(t)
	a, b := pair(t)
	cmd, link := start(t, "echo")
	p, err := OpenPidfd(cmd.Process.Pid)
	must(t, err)
	must(t, a.Send([]byte("x"), []int{p.FD()}))
	must(t, p.Close())
	_, fds, err := b.Recv(make([]byte, 1))
	must(t, err)
	received, err := PidfdFromFD(fds[0])
	must(t, err)
	defer received.Close()
	if received.PID() != cmd.Process.Pid || received.Dead() {
		t.Fatalf("pid %d, dead %t", received.PID(), received.Dead())
	}
	must(t, link.Close()) // its end of input: it leaves by itself
	must(t, received.Wait(within(t, patience)))
}

func TestPidfdOfAReapedProcessIsDead(t *testing.T) {
	leaksNothing(t)
	cmd, link := start(t, "echo")
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	must(t, err)
	must(t, link.Close())
	must(t, cmd.Wait())
	p, err := PidfdFromFD(fd)
	must(t, err)
	defer p.Close()
	if p.PID() != -1 || !p.Dead() {
		t.Fatalf("pid %d, dead %t", p.PID(), p.Dead())
	}
	must(t, p.Kill())
}

func TestWhatIsNoPidfdIsRefusedAndClosed(t *testing.T) {
	leaksNothing(t)
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	fd, err := FD(r)
	must(t, err)
	fake := duplicated(t, fd)
	if _, err := PidfdFromFD(fake); err == nil || isOpen(fake) {
		t.Fatalf("a pipe as a pidfd: %v", err)
	}
}

func TestPeerCredentialsNameTheOtherProcess(t *testing.T) {
	leaksNothing(t)
	a, _ := pair(t)
	creds, err := PeerCredentials(a)
	must(t, err)
	if want := (Credentials{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}); creds != want {
		t.Fatalf("%+v, want %+v", creds, want)
	}
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	if _, err := PeerCredentials(r); err == nil {
		t.Fatal("a pipe has credentials")
	}
	must(t, a.Close())
	if _, err := PeerCredentials(a); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("a closed socket: %v", err)
	}
}

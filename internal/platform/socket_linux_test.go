package platform

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (a, b *Socket) {
	t.Helper()
	a, b, err := SocketPair()
	must(t, err)
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	must(t, a.SetReadDeadline(time.Now().Add(patience)))
	must(t, b.SetReadDeadline(time.Now().Add(patience)))
	return a, b
}

func TestLinkCrossesExecWithBytesAndDescriptors(t *testing.T) {
	leaksNothing(t)
	_, link := start(t, "echo")
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	fd, err := FD(w)
	must(t, err)
	must(t, link.Send([]byte("hello"), []int{fd}))
	must(t, w.Close())

	p := make([]byte, 64)
	n, fds, err := link.Recv(p)
	must(t, err)
	if string(p[:n]) != "hello" || len(fds) != 1 {
		t.Fatalf("received %q and %d descriptors", p[:n], len(fds))
	}
	back := os.NewFile(uintptr(fds[0]), "pipe")
	_, err = back.WriteString("through two processes")
	must(t, err)
	must(t, back.Close())
	n, err = r.Read(p)
	must(t, err)
	if string(p[:n]) != "through two processes" {
		t.Fatalf("read %q from the pipe", p[:n])
	}
}

func TestOneMessageCarriesAsManyDescriptorsAsTheKernelAllows(t *testing.T) {
	leaksNothing(t)
	a, b := pair(t)
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	fd, err := FD(null)
	must(t, err)
	fds := make([]int, MaxDescriptors)
	for i := range fds {
		fds[i] = fd
	}
	must(t, a.Send([]byte("x"), fds))
	n, got, err := b.Recv(make([]byte, 16))
	must(t, err)
	defer closeAll(got)
	if n != 1 || len(got) != MaxDescriptors {
		t.Fatalf("received %d bytes and %d descriptors", n, len(got))
	}
	for _, fd := range got {
		if !isCloseOnExec(t, fd) {
			t.Fatal("a received descriptor would be inherited by a child")
		}
	}
	if err := a.Send([]byte("x"), append(fds, fd)); err == nil {
		t.Fatal("one descriptor more than fit was accepted")
	}
	if err := a.Send(nil, fds); err == nil {
		t.Fatal("descriptors without a byte were accepted")
	}
	if b.Readable() {
		t.Fatal("a refused message was sent")
	}
}

func TestDescriptorsNeverArriveAfterTheirByteNorWithAnothersInOneRecv(t *testing.T) {
	leaksNothing(t)
	a, b := pair(t)
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	fd, err := FD(null)
	must(t, err)
	must(t, a.Send([]byte("plain."), nil))
	must(t, a.Send([]byte("one."), []int{fd}))
	must(t, a.Send([]byte("two."), []int{fd, fd}))

	p := make([]byte, 64)
	var bytesSeen, descriptorsSeen int
	for bytesSeen < len("plain.one.two.") {
		n, fds, err := b.Recv(p)
		must(t, err)
		closeAll(fds)
		if len(fds) > 2 {
			t.Fatal("descriptors of two messages arrived at once")
		}
		bytesSeen += n
		descriptorsSeen += len(fds)
		if bytesSeen > len("plain.") && descriptorsSeen < 1 || bytesSeen > len("plain.one.") && descriptorsSeen < 3 {
			t.Fatalf("%d descriptors after %d bytes", descriptorsSeen, bytesSeen)
		}
	}
}

func TestLargeMessagesArriveWholeAndUnmixed(t *testing.T) {
	leaksNothing(t)
	a, b := pair(t)
	fd := a.fd(t)
	const size = 1 << 20 // several times the send buffer
	sent := make(chan error, 2)
	for _, letter := range []byte("ab") {
		go func() { sent <- a.Send(bytes.Repeat([]byte{letter}, size), []int{fd}) }()
	}
	var got []byte
	descriptors := 0
	p := make([]byte, 64<<10)
	for len(got) < 2*size {
		n, fds, err := b.Recv(p)
		must(t, err)
		closeAll(fds)
		descriptors += len(fds)
		got = append(got, p[:n]...)
	}
	must(t, <-sent)
	must(t, <-sent)
	first := bytes.Repeat(got[:1], size)
	if !bytes.Equal(got[:size], first) || bytes.IndexByte(got[size:], got[0]) >= 0 {
		t.Fatal("two messages were mixed")
	}
	if descriptors != 2 {
		t.Fatalf("two messages with one descriptor each brought %d", descriptors)
	}
}

func TestExpiredSendTellsWhetherAnythingLeft(t *testing.T) {
	leaksNothing(t)
	a, b := pair(t)
	half := make(chan error, 1)
	go func() { half <- a.Send(make([]byte, 8<<20), nil) }()
	for late := within(t, patience); !b.Readable(); {
		select {
		case <-time.After(time.Millisecond):
		case <-late.Done():
			t.Fatal("nothing left")
		}
	}
	must(t, a.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	err := <-half
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, ErrPartialSend) {
		t.Fatalf("half a message: %v", err)
	}
	// The buffer is full now, so the next one cannot begin.
	must(t, a.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	err = a.Send([]byte("x"), nil)
	if !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrPartialSend) {
		t.Fatalf("no message: %v", err)
	}
}

func TestReadableSeesDataAndEndThoughTheDeadlineHasExpired(t *testing.T) {
	leaksNothing(t)
	a, b := pair(t)
	if b.Readable() {
		t.Fatal("readable with nothing sent")
	}
	must(t, a.Send([]byte("x"), nil))
	must(t, b.SetReadDeadline(time.Unix(1, 0)))
	if _, _, err := b.Recv(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("receive after the deadline: %v", err)
	}
	if !b.Readable() {
		t.Fatal("queued data not seen")
	}
	must(t, b.SetReadDeadline(time.Time{}))
	if _, _, err := b.Recv(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	must(t, a.Close())
	if !b.Readable() {
		t.Fatal("end not seen")
	}
	if n, fds, err := b.Recv(make([]byte, 1)); err != io.EOF || n != 0 || fds != nil {
		t.Fatalf("at the end: %d, %v, %v", n, fds, err)
	}
	if err := b.Send([]byte("x"), nil); !errors.Is(err, unix.EPIPE) || errors.Is(err, ErrPartialSend) {
		t.Fatalf("send to nobody: %v", err)
	}
	must(t, b.Close())
	if b.Readable() {
		t.Fatal("a closed socket is readable")
	}
	if _, _, err := b.Recv(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("receive on a closed socket: %v", err)
	}
}

func TestNewSocketRefusesAndClosesWhatIsNoLink(t *testing.T) {
	leaksNothing(t)
	must2 := func(fd int, err error) int { t.Helper(); must(t, err); return fd }
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	must(t, err)
	defer ln.Close()
	for name, fd := range map[string]int{
		"pipe":            duplicated(t, must2(FD(r))),
		"tcp":             must2(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)),
		"unix datagram":   must2(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)),
		"unconnected":     must2(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)),
		"listening":       duplicated(t, must2(FD(ln.(*net.UnixListener)))),
		"not a file":      -1,
		"closed long ago": 1 << 20,
	} {
		if s, err := NewSocket(fd); err == nil {
			t.Errorf("%s: accepted", name)
			_ = s.Close()
		}
		if isOpen(fd) {
			t.Errorf("%s: left open", name)
		}
	}
}

func TestNewSocketTakesAnEndWhosePeerIsGone(t *testing.T) {
	leaksNothing(t)
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	must(t, unix.Close(fds[1]))
	s, err := NewSocket(fds[0])
	must(t, err)
	defer s.Close()
	fd, err := FD(s)
	must(t, err)
	if !isCloseOnExec(t, fd) || !isNonblocking(t, fd) {
		t.Fatal("the inherited socket is inheritable or blocking")
	}
	if _, _, err := s.Recv(make([]byte, 1)); err != io.EOF {
		t.Fatalf("receive: %v", err)
	}
}

func TestReceiverOutOfDescriptorsLearnsOfTheLossAndLeaksNone(t *testing.T) {
	leaksNothing(t)
	cmd, link := start(t, "starved")
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	fd, err := FD(null)
	must(t, err)
	ready := make([]byte, 1)
	_, _, err = link.Recv(ready)
	must(t, err)
	must(t, link.Send([]byte("eight"), []int{fd, fd, fd, fd, fd, fd, fd, fd}))
	_, _, err = link.Recv(ready)
	must(t, err)
	must(t, link.Send([]byte("again"), []int{fd, fd, fd, fd, fd, fd, fd, fd}))
	must(t, cmd.Wait())
}

// receiveStarved has room for three descriptors when eight come, and for all of them the second time.
func receiveStarved(link *Socket) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	free, err := FreeDescriptors()
	if err != nil {
		return err
	}
	p := make([]byte, 16)
	soft := limit.Cur
	limit.Cur = soft - uint64(free) + 3
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if free, err := FreeDescriptors(); err != nil || free != 3 {
		return fmt.Errorf("%d descriptors free, want 3: %v", free, err)
	}
	if err := link.Send([]byte("r"), nil); err != nil {
		return err
	}
	n, fds, err := link.Recv(p)
	if !errors.Is(err, ErrDescriptorsLost) || string(p[:n]) != "eight" || fds != nil {
		return fmt.Errorf("starved: %q, %v, %v", p[:n], fds, err)
	}
	if free, err := FreeDescriptors(); err != nil || free != 3 {
		return fmt.Errorf("%d descriptors free after the loss, want 3: %v", free, err)
	}
	limit.Cur = soft
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if err := link.Send([]byte("r"), nil); err != nil {
		return err
	}
	n, fds, err = link.Recv(p)
	if err != nil || string(p[:n]) != "again" || len(fds) != 8 {
		return fmt.Errorf("with room again: %q, %v, %v", p[:n], fds, err)
	}
	return nil
}

func TestSenderBeyondTheInFlightLimitSendsNothingAndCanRepeat(t *testing.T) {
	leaksNothing(t)
	cmd, link := start(t, "crowded")
	if _, _, err := link.Recv(make([]byte, 1)); err != io.EOF {
		t.Fatalf("receive: %v", err)
	}
	must(t, cmd.Wait())
}

// sendCrowded fills the limit of a user without privileges: RLIMIT_NOFILE descriptors in flight.
func sendCrowded(*Socket) error {
	a, b, err := SocketPair()
	if err != nil {
		return err
	}
	limit := unix.Rlimit{Cur: 64, Max: 64}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := unix.Setuid(65534); err != nil {
			return err
		}
	}
	fd, err := FD(a)
	if err != nil {
		return err
	}
	ten := []int{fd, fd, fd, fd, fd, fd, fd, fd, fd, fd}
	messages := 0
	for ; err == nil && messages < 1000; messages++ {
		err = a.Send([]byte("x"), ten)
	}
	messages--
	if !errors.Is(err, ErrTooManyInFlight) || errors.Is(err, ErrPartialSend) {
		return fmt.Errorf("after %d messages: %w", messages, err)
	}
	for range messages {
		n, fds, err := b.Recv(make([]byte, 1))
		if err != nil || n != 1 || len(fds) != 10 {
			return fmt.Errorf("receive what was sent: %d, %v, %w", n, fds, err)
		}
		closeAll(fds)
	}
	if b.Readable() {
		return errors.New("a refused message was sent")
	}
	return a.Send([]byte("x"), ten)
}

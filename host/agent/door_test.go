package agent

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
)

// poor is a listener that has no descriptor for the first of its clients, and ends.
type poor struct {
	net.Listener
	tried bool
	came  chan net.Conn
}

func (p *poor) Accept() (net.Conn, error) {
	if !p.tried {
		p.tried = true
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	if c, ok := <-p.came; ok {
		return c, nil
	}
	return nil, &net.OpError{Op: "accept", Net: "unix", Err: net.ErrClosed}
}

func (p *poor) Addr() net.Addr { return &net.UnixAddr{Name: "agent.sock", Net: "unix"} }

// TestControlAPIOutlivesAWantOfDescriptors: a server that borrows the door hears of clients and of its end, and of nothing else.
// Guard: accept.Each, which accepts again.
func TestControlAPIOutlivesAWantOfDescriptors(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	p := &poor{came: make(chan net.Conn, 1)}
	p.came <- theirs
	l := newDoor(t.Context(), p, slog.New(slog.DiscardHandler)).lend()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	close(p.came)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

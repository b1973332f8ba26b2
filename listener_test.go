package handover

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
)

// poor is a listener that has no descriptor for its next clients.
type poor struct {
	*net.TCPListener
	wants int
}

func (p *poor) Accept() (net.Conn, error) {
	if p.wants > 0 {
		p.wants--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return p.TCPListener.Accept()
}

// TestWantOfDescriptorsLosesNoQueuedConnection when the socket is closed: it is not empty because it cannot be emptied. Where there is none for a
// second, it is said. Guard: acceptQueued, which tries again.
func TestWantOfDescriptorsLosesNoQueuedConnection(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	given := 0
	give := func(c net.Conn) {
		given++
		_ = c.Close()
	}
	if err := acceptQueued(t.Context(), &poor{ln.(*net.TCPListener), 1000}, give); !errors.Is(err, errQueued) || !errors.Is(err, syscall.EMFILE) {
		t.Errorf("never a descriptor: %v", err)
	}
	ended, cancel := context.WithTimeout(t.Context(), emptyAfter)
	defer cancel()
	if err := acceptQueued(ended, &poor{ln.(*net.TCPListener), 1000}, give); !errors.Is(err, errQueued) {
		t.Errorf("no time for one: %v", err)
	}
	if err := acceptQueued(t.Context(), &poor{ln.(*net.TCPListener), 3}, give); err != nil || given != 1 {
		t.Errorf("%d connections, %v", given, err)
	}
}

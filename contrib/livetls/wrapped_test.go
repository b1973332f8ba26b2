package livetls

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover"
)

// TestConnectionThatIsNotOfTheProcessStays: a listener that is not one of the process's is served by crypto/tls. Guard: shake, "kernelOf"; without it the
// process ends.
func TestConnectionThatIsNotOfTheProcessStays(t *testing.T) {
	testWrapped(t, func(*handover.Process) (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
}

// TestConnectionThatIsWrappedStays, also where the wrapper tells what it stands on, as for the socket's options. Guard: kernelOf, "l.process.Accepted(raw)"; without it
// the connection ends behind its handshake.
func TestConnectionThatIsWrappedStays(t *testing.T) {
	testWrapped(t, func(p *handover.Process) (net.Listener, error) {
		ln, err := p.Listen(t.Context(), "tcp", "127.0.0.1:0")
		return wrapping{ln}, err
	})
}

// testWrapped has a client talk to who serves by crypto/tls what such a listener accepts.
func testWrapped(t *testing.T, listens func(*handover.Process) (net.Listener, error)) {
	t.Helper()
	server, client := configs(t)
	ctx, cancel := context.WithCancel(t.Context())
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	run := sync.OnceFunc(func() { _ = p.Run(ctx) }) // which closes what there is
	defer run()
	defer cancel()
	below, err := listens(p)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(p, below, server)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	running.Go(run)
	before := Figures().Stayed[whyWrapped]
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", below.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, "echo"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "echo" {
		t.Errorf("%q, %v", b, err)
	}
	if n := Figures().Stayed[whyWrapped]; n != before+1 {
		t.Errorf("%d are counted, before %d", n, before)
	}
	l := ln.(*listener)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.shaken) > 0 {
		t.Error("secrets wait for a session")
	}
}

// wrapping wraps what another listener accepts.
type wrapping struct{ net.Listener }

func (w wrapping) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return wrapped{c}, nil
}

// wrapped tells what the connection below stands on.
type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn.(interface{ NetConn() net.Conn }).NetConn() }

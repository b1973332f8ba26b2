// Package control asks at takeover sockets.
package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Ask puts one question at a takeover socket, and returns the answer to it, which has to come within patience. States that come before it are
// told to watch, unless that is nil.
func Ask(path string, m wire.Message, patience time.Duration, watch func(*wire.State)) (*wire.Reply, error) {
	link, err := Dial(path, patience)
	if err != nil {
		return nil, err
	}
	defer link.Close()
	if err := link.Send(0, m); err != nil {
		return nil, err
	}
	for {
		f, err := link.Receive()
		if err != nil {
			return nil, err
		}
		switch m := f.Message.(type) {
		case *wire.Reply:
			return m, nil
		case *wire.State:
			if watch != nil {
				watch(m)
			}
		default:
			return nil, fmt.Errorf("%s instead of REPLY", f.Kind())
		}
	}
}

// Dial connects to a takeover socket as a control client. Everything on the link has to come within patience.
func Dial(path string, patience time.Duration) (*wire.Link, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return Greet(c.(*net.UnixConn))
}

// Dir returns a directory for takeover sockets, whose path is short enough for them: 108 bytes in unix(7), with the name.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Greet makes the link of a control client of a connection, which it owns.
func Greet(c *net.UnixConn) (*wire.Link, error) {
	link := peer.NewLink(platform.SocketFromConn(c))
	if err := greet(link); err != nil {
		return nil, errors.Join(err, link.Close())
	}
	return link, nil
}

func greet(link *wire.Link) error {
	if err := link.Send(0, &wire.Hello{Protocol: wire.Protocols, Role: wire.RoleControl, PID: os.Getpid()}); err != nil {
		return err
	}
	f, err := link.Receive()
	if err != nil {
		return err
	}
	peer.CloseDescriptors(&f)
	if _, ok := f.Message.(*wire.Hello); !ok {
		return fmt.Errorf("HELLO is answered by %s", f.Kind())
	}
	return nil
}

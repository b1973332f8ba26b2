package plain

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// transport makes a platform.Socket what package wire wants of one.
type transport struct{ *platform.Socket }

func (s transport) Recv(p []byte) (n int, fds []int, lost bool, err error) {
	n, fds, err = s.Socket.Recv(p)
	return n, fds, false, err
}

// greeted is a link to a takeover socket, as a control client.
func greeted(path string) (*wire.Link, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	link := wire.NewLink(transport{platform.SocketFromConn(c.(*net.UnixConn))}, platform.CloseFD)
	if err := link.SetReceiveDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, link.Close())
	}
	err = link.Send(0, &wire.Hello{Protocol: wire.Protocols, Role: wire.RoleControl, PID: os.Getpid()})
	if err == nil {
		_, err = link.Receive()
	}
	if err != nil {
		return nil, errors.Join(err, link.Close())
	}
	return link, nil
}

// ask puts one question at a takeover socket. The states on the way are told to watch.
func ask(path string, m wire.Message, watch func(*wire.State)) (*wire.Reply, error) {
	link, err := greeted(path)
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
			watch(m)
		default:
			return nil, fmt.Errorf("%s instead of REPLY", f.Kind())
		}
	}
}

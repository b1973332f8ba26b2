package keeper

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

var status = &wire.Status{}

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
	socket := platform.SocketFromConn(c.(*net.UnixConn))
	link := wire.NewLink(transport{socket}, platform.CloseFD)
	if err := link.SetReceiveDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	err = link.Send(0, &wire.Hello{Protocol: wire.Protocols, Role: wire.RoleControl, PID: os.Getpid()})
	if err == nil {
		var f wire.Frame
		f, err = link.Receive()
		for _, fd := range f.Descriptors {
			_ = platform.CloseFD(fd)
		}
		if _, ok := f.Message.(*wire.Hello); err == nil && !ok {
			err = fmt.Errorf("HELLO is answered by %s", f.Kind())
		}
	}
	if err != nil {
		return nil, errors.Join(err, link.Close())
	}
	return link, nil
}

// ask puts one question at a takeover socket.
func ask(path string, m wire.Message) (*wire.Reply, error) {
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
		default:
			return nil, fmt.Errorf("%s instead of REPLY", f.Kind())
		}
	}
}

// ask asks at the takeover socket, and gets a reply.
func (r *run) ask(m wire.Message) *wire.Reply {
	r.t.Helper()
	reply, err := ask(r.takeover, m)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.Output(80))
	}
	return reply
}

// asking asks, and returns at once; the reply comes out of the channel, nil if there is none.
func (r *run) asking(m wire.Message) <-chan *wire.Reply {
	replies := make(chan *wire.Reply, 1)
	go func() {
		reply, _ := ask(r.takeover, m) // its end is what the test looks at
		replies <- reply
	}()
	return replies
}

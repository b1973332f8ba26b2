package peer

import (
	"context"
	"net"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
)

// Stream is a connection whose descriptor can be passed on.
type Stream interface {
	net.Conn
	syscall.Conn
}

// Connected makes two ends of a connection of the network's kind, so that what is asked over it is answered as a
// client's request would be: for TCP over the loopback interface, from a port of its own.
func Connected(ctx context.Context, network string) (ours, theirs Stream, err error) {
	address := "127.0.0.1:0"
	switch network {
	case "unix":
		return unixPair()
	case "tcp6":
		address = "[::1]:0"
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = ln.Close() }()
	one, err := (&net.Dialer{}).DialContext(ctx, network, ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	for {
		other, err := ln.Accept()
		if err != nil {
			_ = one.Close()
			return nil, nil, err
		}
		// Anybody may connect to a port: only our own connection is of use.
		if other.RemoteAddr().String() == one.LocalAddr().String() {
			return one.(Stream), other.(Stream), nil
		}
		_ = other.Close()
	}
}

// unixPair needs no path, and so no directory that this process could write.
func unixPair() (ours, theirs Stream, err error) {
	a, b, err := platform.UnixPair()
	if err != nil {
		return nil, nil, err
	}
	return a, b, nil
}

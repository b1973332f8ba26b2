package platform

import (
	"context"
	"errors"
	"net"
)

// ErrNotSocket: what lies at the path is no socket, or a symbolic link to one.
var ErrNotSocket = errors.New("not a socket")

// DialSocket connects to the unix stream socket that lies at path itself: net.Dial would follow a symbolic link, by which the owner of the
// directory could choose who is asked. Nothing at the path is ENOENT, a socket that nobody listens at is ECONNREFUSED, and anything but a socket is
// ErrNotSocket. The caller closes the connection.
func DialSocket(ctx context.Context, path string) (*net.UnixConn, error) {
	c, err := dialSocket(ctx, path)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: path, Net: "unix"}, Err: err}
	}
	return c, nil
}

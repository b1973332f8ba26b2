package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
)

// Where is where a service listens.
type Where struct {
	Network string // "tcp" (the default), "tcp4", "tcp6" or "unix"
	Address string // host:port, or the path of a socket
}

func (w Where) validate() error {
	switch {
	case w.Address == "":
		return errors.New("Address: want host:port, or the path of a socket")
	case !slices.Contains([]string{"", "tcp", "tcp4", "tcp6", "unix"}, w.Network):
		return fmt.Errorf("Network: %q: want tcp, tcp4, tcp6 or unix", w.Network)
	case w.Network == "unix":
		return nil
	}
	if _, _, err := net.SplitHostPort(w.Address); err != nil {
		return fmt.Errorf("Address: %w: want host:port", err)
	}
	return nil
}

func (w Where) dial(ctx context.Context) (net.Conn, error) {
	network := w.Network
	if network == "" {
		network = "tcp"
	}
	return (&net.Dialer{}).DialContext(ctx, network, w.Address)
}

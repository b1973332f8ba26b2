package platform

import (
	"context"
	"fmt"
	"io"
	"os"
)

// Notify sends one datagram of the sd_notify(3) protocol: state is one or more "KEY=value" lines, socket is what
// $NOTIFY_SOCKET holds, a path or an @abstract name. At most MaxDescriptors descriptors go along and stay the caller's.
// While the service manager's queue is full it waits until ctx ends.
func Notify(ctx context.Context, socket, state string, fds ...int) error {
	if socket == "" || socket[0] != '/' && socket[0] != '@' {
		return fmt.Errorf("notify service manager: %q is neither a path nor an @abstract name", socket)
	}
	if err := notify(ctx, socket, state, fds); err != nil {
		return fmt.Errorf("notify service manager at %q: %w", socket, err)
	}
	return nil
}

// NotifyBarrier returns when the service manager has worked through everything notified before (BARRIER=1 in
// sd_notify(3), systemd 246): it closes the descriptor sent along. It waits until ctx ends; an older manager closes the
// descriptor unread, so nil is then no proof.
func NotifyBarrier(ctx context.Context, socket string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make barrier: %w", err)
	}
	defer r.Close()
	fd, err := FD(w)
	if err == nil {
		err = Notify(ctx, socket, "BARRIER=1", fd)
	}
	// Only the manager may hold the writing end now: its closing is the event.
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("send barrier: %w", err)
	}
	err = interruptible(ctx, r, func() error {
		_, err := r.Read(make([]byte, 1))
		return err
	})
	if err != io.EOF {
		return fmt.Errorf("await barrier: %w", err)
	}
	return nil
}

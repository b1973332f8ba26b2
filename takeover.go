package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
)

// maxSocketPath is what fits into sun_path with its terminating zero (unix(7)).
const maxSocketPath = 107

// takeover is the takeover socket of a named service, at which links can be asked for. The incumbent answers at it; with
// FINAL it goes to the successor. Without a name there is none.
type takeover struct {
	process *Process

	mu       sync.Mutex
	path     string
	listener *net.UnixListener
	handed   bool
	wait     sync.WaitGroup
	ctx      context.Context // of conversations
	stop     context.CancelFunc
}

func newTakeover(p *Process) *takeover {
	t := &takeover{process: p}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// locate returns the path of the socket, in a directory that only this user can reach.
func (t *takeover) locate() (string, error) {
	dir, err := platform.RuntimeDir(t.process.config.RuntimeDir)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, t.process.config.Name+".sock")
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("takeover socket %q: %d bytes, at most %d: choose a shorter RuntimeDir or Name", path, len(path), maxSocketPath)
	}
	return path, nil
}

// join asks the service of that name for a link. It returns nil if none serves.
func (t *takeover) join(ctx context.Context) (*peer, error) {
	path, err := t.locate()
	if err != nil {
		return nil, err
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, nil
		}
		return nil, fmt.Errorf("join service %q: %w", t.process.config.Name, err)
	}
	socket := platform.SocketFromConn(c.(*net.UnixConn))
	creds, err := trusted(socket)
	if err == nil {
		var proof *platform.Pidfd
		if proof, err = platform.OpenPidfd(creds.PID); err == nil {
			return &peer{link: newLink(socket), process: &stranger{proof}}, nil
		}
	}
	_ = socket.Close()
	return nil, fmt.Errorf("join service %q: %w", t.process.config.Name, err)
}

// trusted returns who is at the other end, if it is the same user or root, and in this PID namespace: there, the incumbent
// can end a successor that must not go on.
func trusted(s *platform.Socket) (platform.Credentials, error) {
	creds, err := platform.PeerCredentials(s)
	switch {
	case err != nil:
		return creds, err
	case creds.UID != os.Geteuid() && creds.UID != 0:
		return creds, fmt.Errorf("%w: the other side is user %d, this process user %d", ErrDenied, creds.UID, os.Geteuid())
	case creds.PID == 0:
		return creds, fmt.Errorf("%w: the other side is in another PID namespace, and could not be fenced", ErrDenied)
	}
	return creds, nil
}

// open answers at the socket: at the one that came with FINAL, or at a new one in place of a dead process's.
func (t *takeover) open(l *life) {
	if t.process.config.Name == "" || off() {
		return
	}
	t.wait.Add(1)
	go func() {
		defer t.wait.Done()
		ln, err := t.bound()
		if err != nil {
			t.process.config.Logger.Error("no takeover socket: this service cannot be joined", "service", t.process.config.Name, "error", err)
			return
		}
		for {
			c, err := ln.Accept()
			if err != nil {
				return // closed, or handed on
			}
			t.wait.Add(1)
			go func() {
				defer t.wait.Done()
				t.converse(l, platform.SocketFromConn(c.(*net.UnixConn)))
			}()
		}
	}()
}

// bound is the socket: the one that came with FINAL, or a new one.
func (t *takeover) bound() (*net.UnixListener, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.ctx.Err() != nil:
		return nil, t.ctx.Err()
	case t.listener == nil:
		if err := t.bindLocked(); err != nil {
			return nil, err
		}
	}
	return t.listener, nil
}

// bindLocked makes the socket. A path that nobody answers at is a dead process's; under the lock it can be nobody else's.
func (t *takeover) bindLocked() error {
	path, err := t.locate()
	if err != nil {
		return err
	}
	unlock, err := platform.Lock(path + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = c.Close()
		return fmt.Errorf("another process answers at %s", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return err
	}
	ln.SetUnlinkOnClose(false)
	t.listener, t.path = ln, path
	return os.Chmod(path, 0o600)
}

// take owns the socket that came with FINAL. Listening anew makes the kernel name this process to whoever connects.
func (t *takeover) take(fd int) {
	ln, err := platform.Listener(fd)
	if err != nil {
		t.process.config.Logger.Error("takeover socket not taken over", "error", err)
		return
	}
	unix, ok := ln.(*net.UnixListener)
	if !ok {
		_ = ln.Close()
		return
	}
	if own, err := platform.FD(unix); err == nil {
		_ = platform.Relisten(own)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.listener, t.path = unix, unix.Addr().String()
}

// hand stops answering, and returns the socket's descriptor, which stays open until close.
func (t *takeover) hand() (fd int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.listener == nil {
		return -1, false
	}
	_ = t.listener.SetDeadline(past)
	t.handed = true
	fd, err := platform.FD(t.listener)
	return fd, err == nil
}

// close stops answering; conversations end soon after, see wait. The path goes with the service, not with a generation.
func (t *takeover) close() {
	t.stop()
	t.mu.Lock()
	if t.listener != nil {
		if !t.handed {
			_ = os.Remove(t.path)
		}
		_ = t.listener.Close()
		t.listener = nil
	}
	t.mu.Unlock()
}

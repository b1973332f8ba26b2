// Package takeover is the takeover socket of a named service: where it lies, who may use it, and how it passes from one
// process to another.
package takeover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
)

// ErrUntrusted: the process at the other end may not take part.
var ErrUntrusted = errors.New("not trusted")

// maxPath is what fits into sun_path with its terminating zero (unix(7)).
const maxPath = 107

const suffix = ".sock"

// CheckName says why name cannot be a service's: it is part of a path.
func CheckName(name string) error {
	if strings.ContainsAny(name, "/\x00") || strings.HasPrefix(name, ".") || len(name) > 64 {
		return fmt.Errorf("service name %q: use up to 64 characters, no slash, no leading dot", name)
	}
	return nil
}

// Path returns where the socket of the service of that name lies, in a directory that only this user can reach, which it
// makes; runtimeDir may be empty (platform.RuntimeDir says what holds then).
func Path(runtimeDir, name string) (string, error) {
	dir, err := platform.RuntimeDir(runtimeDir)
	if err != nil {
		return "", err
	}
	return PathIn(dir, name)
}

// PathIn is Path for a directory that is known.
func PathIn(dir, name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name+suffix)
	if len(path) > maxPath {
		return "", fmt.Errorf("takeover socket %q: %d bytes, at most %d: choose a shorter RuntimeDir or Name", path, len(path), maxPath)
	}
	return path, nil
}

// NamesIn are the services that have a socket in dir, alive or not, sorted.
func NamesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list services: %w", err)
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), suffix); ok && e.Type()&os.ModeSocket != 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Dial connects to the socket at path. ErrNobody means that nobody answers there.
func Dial(ctx context.Context, path string) (*platform.Socket, platform.Credentials, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("%w: %w", ErrNobody, err)
		}
		return nil, platform.Credentials{}, err
	}
	socket := platform.SocketFromConn(c.(*net.UnixConn))
	creds, err := Trusted(socket)
	if err != nil {
		_ = socket.Close()
		return nil, creds, err
	}
	return socket, creds, nil
}

// ErrNobody: no process answers at the socket.
var ErrNobody = errors.New("nobody answers")

// Trusted returns who is at the other end, if it is the same user or root, and in this PID namespace: there, the incumbent
// can end a successor that must not go on. Else the error wraps ErrUntrusted.
func Trusted(s *platform.Socket) (platform.Credentials, error) {
	creds, err := platform.PeerCredentials(s)
	switch {
	case err != nil:
		return creds, err
	case creds.UID != os.Geteuid() && creds.UID != 0:
		return creds, fmt.Errorf("%w: the other side is user %d, this process user %d", ErrUntrusted, creds.UID, os.Geteuid())
	case creds.PID == 0:
		return creds, fmt.Errorf("%w: the other side is in another PID namespace, and could not be fenced", ErrUntrusted)
	}
	return creds, nil
}

// Bind makes the socket at path. A path that nobody answers at is a dead process's; under the lock it can be nobody else's.
// Closing the listener leaves the path.
func Bind(path string) (*net.UnixListener, error) { return platform.Bind(path, 0o600) }

// Adopt takes ownership of the socket that another process held. Closing the listener leaves the path.
func Adopt(fd int) (*net.UnixListener, error) {
	ln, err := platform.Listener(fd)
	if err != nil {
		return nil, err
	}
	u, ok := ln.(*net.UnixListener)
	if !ok {
		_ = ln.Close()
		return nil, fmt.Errorf("takeover socket: a %T came", ln)
	}
	return u, nil
}

// Answer makes the kernel name this process to whoever connects from now on: it names the one who listened last.
func Answer(ln *net.UnixListener) error {
	fd, err := platform.FD(ln)
	if err != nil {
		return err
	}
	return platform.Relisten(fd)
}

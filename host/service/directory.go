package service

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/takeover"
)

// RuntimeDir returns where takeover sockets lie, absolute: explicit, or if that is empty what a service would choose that this
// user starts. It makes nothing, and judges nothing.
func RuntimeDir(explicit string) (string, error) { return platform.FindRuntimeDir(explicit) }

// SocketPath is where the socket of the service of that name lies in dir. Nothing need be there. An error says that the name
// or the path cannot be a service's.
func SocketPath(dir, name string) (string, error) { return takeover.PathIn(dir, name) }

// Names are the services that have a socket in the runtime directory, alive or not, sorted. A directory that is missing has
// none.
func Names(runtimeDir string) ([]string, error) {
	dir, err := openDirectory(runtimeDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return dir.names()
}

// directory is a runtime directory that this user may use.
type directory struct {
	path  string
	owner int
}

// openDirectory finds the runtime directory and judges it. Whoever can write there could pose as a service, so it is the
// user's own; root may use that of any user.
func openDirectory(explicit string) (directory, error) {
	path, err := RuntimeDir(explicit)
	if err != nil {
		return directory{}, err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrPermission) {
		return directory{}, fmt.Errorf("%w: runtime directory %q: %w", ErrDenied, path, err)
	}
	if err != nil {
		return directory{}, fmt.Errorf("open runtime directory: %w", err)
	}
	d := directory{path: path, owner: int(info.Sys().(*syscall.Stat_t).Uid)}
	switch {
	case d.owner == os.Geteuid():
		_, err = platform.RuntimeDir(path)
		return d, err
	case os.Geteuid() == 0 && info.IsDir():
		return d, nil
	default:
		return d, fmt.Errorf("%w: runtime directory %q is owned by user %d, not by %d", ErrDenied, path, d.owner, os.Geteuid())
	}
}

func (d directory) names() ([]string, error) { return takeover.NamesIn(d.path) }

// only is the name of the only service.
func (d directory) only() (string, error) {
	names, err := d.names()
	switch {
	case err != nil:
		return "", err
	case len(names) == 0:
		return "", fmt.Errorf("%w in %s", ErrNoService, d.path)
	case len(names) > 1:
		return "", &AmbiguousError{Dir: d.path, Names: names}
	}
	return names[0], nil
}

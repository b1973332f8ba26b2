package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxPath is what fits into sun_path with its terminating zero (unix(7)).
const maxPath = 107

// runtimeDir is where takeover sockets lie: whoever can write there can take a service over.
func (h *Host) runtimeDir(context.Context) []Finding {
	const check = "runtime dir"
	dir := h.RuntimeDir
	var all []Finding
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := writable(dir); err != nil {
			all = append(all, Finding{check, Fail, fmt.Sprintf("%s is missing, and cannot be made: %v", dir, err), "RuntimeDirectory= in the unit, or HANDOVER_RUNTIME_DIR to a directory that the user of the service can make"})
		}
	case err != nil:
		all = append(all, Finding{check, Fail, err.Error(), "HANDOVER_RUNTIME_DIR to a directory of the user of the service"})
	default:
		all = h.judgeDir(check, dir, info)
	}
	// A suffix and a slash come on top of the name.
	longest, name := maxPath-len(dir)-len("/.sock"), ""
	for _, s := range h.Services {
		if len(s.Name) > len(name) {
			name = s.Name
		}
	}
	switch {
	case longest < max(len(name), 1):
		all = append(all, Finding{check, Fail, fmt.Sprintf("%s is too long: the path of a socket may have %d bytes", dir, maxPath), "HANDOVER_RUNTIME_DIR to a shorter path, such as /run/handover"})
	case longest < 16:
		all = append(all, Finding{check, Warn, fmt.Sprintf("%s leaves %d bytes for the name of a service", dir, longest), "HANDOVER_RUNTIME_DIR to a shorter path, such as /run/handover"})
	}
	if strings.HasPrefix(dir, filepath.Clean(h.TempDir)+"/") {
		all = append(all, Finding{check, Warn, dir + " is among temporary files, which PrivateTmp= hides from others and which may be cleaned up",
			"RuntimeDirectory= in the unit and HANDOVER_RUNTIME_DIR=%t/NAME, or XDG_RUNTIME_DIR of the user"})
	}
	if len(all) == 0 {
		detail := dir
		if info == nil {
			detail += ", which the first service makes"
		}
		return well(check, detail)
	}
	return all
}

func (h *Host) judgeDir(check, dir string, info fs.FileInfo) []Finding {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	switch {
	case !info.IsDir():
		return found(check, Fail, dir+" is no directory", "remove it, or HANDOVER_RUNTIME_DIR to the directory that is meant")
	case owner != h.UID && h.UID != 0:
		return found(check, Fail, fmt.Sprintf("%s belongs to user %d, this is user %d", dir, owner, h.UID), "ask as its user or as root, or HANDOVER_RUNTIME_DIR to a directory of this user")
	case info.Mode().Perm() != 0o700:
		return found(check, Fail, fmt.Sprintf("%s has mode %#o: services refuse it, as others could take them over", dir, info.Mode().Perm()), "chmod 700 "+dir)
	}
	return nil
}

// sockets are those of services: each should be answered at.
func (h *Host) sockets(context.Context) []Finding {
	const check = "services"
	var all []Finding
	var alive []string
	for _, s := range h.Services {
		switch {
		case s.Status != nil:
			alive = append(alive, s.Name)
			all = append(all, Finding{check, OK, fmt.Sprintf("%q is %s, generation %d", s.Name, s.Status.State, s.Status.Generation), ""})
		case s.Absent && exists(s.Path):
			all = append(all, Finding{check, Warn, fmt.Sprintf("%q has a socket, and nobody answers: its process died", s.Name), "start the service, which replaces the socket, or rm " + s.Path})
		case s.Absent:
			all = append(all, Finding{check, Fail, fmt.Sprintf("%q has no socket in %s", s.Name, h.RuntimeDir), "start it with HANDOVER_NAME=" + s.Name + " and the same HANDOVER_RUNTIME_DIR"})
		default:
			all = append(all, Finding{check, Fail, fmt.Sprintf("%q does not say how it is: %v", s.Name, s.Err), "see its log; a process that hangs must be ended by force"})
		}
	}
	if len(alive) > 1 {
		all = append(all, Finding{check, OK, "commands need a name, as there are " + strings.Join(alive, ", "), ""})
	}
	if len(all) == 0 {
		return well(check, "none in "+h.RuntimeDir)
	}
	return all
}

// stateDir is where a keeper keeps builds, which it starts from there.
func (h *Host) stateDir(context.Context) []Finding {
	const check = "state dir"
	if err := writable(h.StateDir); err != nil {
		return found(check, Warn, "a keeper keeps builds as open files, which its own end does not survive: "+err.Error(), "StateDirectory= in the unit, or HANDOVER_STATE_DIR to a directory that the user of the keeper can write")
	}
	if no, err := h.NoExec(existing(h.StateDir)); err == nil && no {
		return found(check, Warn, h.StateDir+" is mounted noexec: a build that is kept there could not be started", "HANDOVER_STATE_DIR to a directory on another file system")
	}
	return well(check, h.StateDir)
}

// writable tries whether this user can write in dir, or could make it.
func writable(dir string) error {
	f, err := os.CreateTemp(existing(dir), ".handover-doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// existing is dir, or what is there of its path.
func existing(dir string) string {
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

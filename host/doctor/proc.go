package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// subject is a process whose surroundings matter: a service's, or this one in place of a service that is still to be started.
type subject struct {
	pid     int
	who     string
	service *Service // nil: this process
}

// subjects are the services that run; if none does, this process.
func (h *Host) subjects() []subject {
	var all []subject
	for i := range h.Services {
		if s := &h.Services[i]; s.Status != nil && s.Status.PID != 0 { // a keeper may have no generation
			all = append(all, subject{s.Status.PID, fmt.Sprintf("service %q (pid %d)", s.Name, s.Status.PID), s})
		}
	}
	if len(all) == 0 {
		all = []subject{{h.PID, "a process started from here", nil}}
	}
	return all
}

// text is the content of a file below the root, without the newline at its end.
func (h *Host) text(path string) (string, error) {
	p, err := os.ReadFile(filepath.Join(h.Root, "/", path))
	return strings.TrimSuffix(string(p), "\n"), err
}

// number is the content of a file that has one number; "max" is no limit.
func (h *Host) number(path string) (n int64, limited bool, err error) {
	text, err := h.text(path)
	if err != nil || text == "max" {
		return 0, false, err
	}
	n, err = strconv.ParseInt(text, 10, 64)
	return n, err == nil, err
}

// of is the path of a process's own file.
func of(pid int, name string) string { return "proc/" + strconv.Itoa(pid) + "/" + name }

// field is the value of a line "key: value" of a process's status, or of /proc/meminfo; "" if there is none.
func (h *Host) field(path, key string) string {
	text, err := h.text(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// bytes is such a value in kB, as bytes; 0 if there is none.
func (h *Host) bytes(path, key string) int64 {
	kb, err := strconv.ParseInt(strings.TrimSuffix(h.field(path, key), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return kb << 10
}

// limit is a soft limit of proc(5), limits.
func (h *Host) limit(pid int, name string) (n int64, limited bool, err error) {
	text, err := h.text(of(pid, "limits"))
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if columns := strings.Fields(rest); ok && len(columns) > 0 {
			if columns[0] == "unlimited" {
				return 0, false, nil
			}
			n, err := strconv.ParseInt(columns[0], 10, 64)
			return n, err == nil, err
		}
	}
	return 0, false, fmt.Errorf("%s of process %d has no %q", "limits", pid, name)
}

// processes are all that can be seen.
func (h *Host) pids() []int {
	entries, err := os.ReadDir(filepath.Join(h.Root, "/proc"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// cgroups are the directories of a process's group and of those above it, below the root of the unified hierarchy.
func (h *Host) cgroups(pid int) []string {
	path := h.cgroup(pid)
	if path == "" || strings.Contains(path, "..") { // of another namespace: not to be seen from here
		return nil
	}
	var all []string
	for ; path != "/" && path != "."; path = filepath.Dir(path) {
		all = append(all, "sys/fs/cgroup"+path)
	}
	return append(all, "sys/fs/cgroup") // in a container its limits stand there
}

// cgroup is a process's group in the unified hierarchy or, failing that, in systemd's own.
func (h *Host) cgroup(pid int) string {
	text, err := h.text(of(pid, "cgroup"))
	if err != nil {
		return ""
	}
	fallback := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if path, ok := strings.CutPrefix(line, "0::"); ok && (path != "/" || fallback == "") {
			return path
		}
		if _, path, ok := strings.Cut(line, ":name=systemd:"); ok {
			fallback = path
		}
	}
	return fallback
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	default:
		return fmt.Sprintf("%.0f MiB", float64(n)/(1<<20))
	}
}

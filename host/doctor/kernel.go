package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kernel needs pidfd_open(2), which came with Linux 5.3.
func (h *Host) kernel(context.Context) []Finding {
	const check = "kernel"
	release, err := h.text("proc/sys/kernel/osrelease")
	if err != nil {
		return found(check, Warn, "the kernel's version cannot be read: "+err.Error(), "mount /proc")
	}
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return found(check, Warn, "the kernel's version is not understood: "+release, "use Linux 5.3 or later")
	}
	if major < 5 || major == 5 && minor < 3 {
		return found(check, Fail, "Linux "+release+" has no pidfd_open: a death could not be told from silence", "use Linux 5.3 or later")
	}
	return well(check, "Linux "+release)
}

// support is whether the platform lets this process hand over, which a container's seccomp profile may not.
func (h *Host) support(context.Context) []Finding {
	const check = "pidfd"
	where := ""
	for _, mark := range []string{".dockerenv", "run/.containerenv"} {
		if _, err := os.Stat(filepath.Join(h.Root, "/", mark)); err == nil {
			where = ", in a container"
		}
	}
	if h.field("proc/self/status", "Seccomp") == "2" {
		where += ", under a seccomp filter"
	}
	if err := h.Supported(); err != nil {
		return found(check, Fail, err.Error()+where,
			"allow pidfd_open and pidfd_send_signal in the seccomp profile (docker run --security-opt seccomp=FILE), and mount /proc")
	}
	return well(check, "the death of a process can be told"+where)
}

// firstProcess is PID 1: it cannot be replaced itself, and reaps the generations whose parent has ended.
func (h *Host) firstProcess(context.Context) []Finding {
	const check = "pid 1"
	for _, s := range h.subjects() {
		if s.service != nil && s.pid == 1 && s.service.Status.Keeper == nil {
			return found(check, Fail, s.who+" is process 1: its end would take the container along, so it cannot hand over",
				"make a keeper process 1: handover run -- COMMAND")
		}
	}
	name, err := h.text("proc/1/comm")
	if err != nil {
		return found(check, Warn, "process 1 cannot be seen: "+err.Error(), "ask as root")
	}
	zombies := 0
	for _, pid := range h.pids() {
		if state, parent := h.stat(pid); state == "Z" && parent == 1 {
			zombies++
		}
	}
	if zombies > 0 {
		return found(check, Warn, fmt.Sprintf("process 1 (%s) leaves %d dead children unreaped: a generation whose parent has ended would be one more", name, zombies),
			"start the container with an init (docker run --init), or with a keeper: handover run -- COMMAND")
	}
	return well(check, name)
}

// stat is the state and the parent of a process, proc(5).
func (h *Host) stat(pid int) (state string, parent int) {
	text, err := h.text(of(pid, "stat"))
	if err != nil {
		return "", 0
	}
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name before may have blanks
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
}

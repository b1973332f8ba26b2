package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	// fewDescriptors fit no service: its listeners, links and epoll leave nothing for clients.
	fewDescriptors = 64
	// someDescriptors is the soft limit that many systems begin with, and few services live by.
	someDescriptors = 1024
	// spareTasks is about what a Go program starts threads for before it serves.
	spareTasks = 32
)

// descriptors is RLIMIT_NOFILE. A successor inherits it, must hold every listener, and is given the connections.
func (h *Host) descriptors(context.Context) []Finding {
	const check, mend = "open files", "LimitNOFILE=65536 in the unit, ulimit -n 65536 before a start by hand, docker run --ulimit nofile=65536"
	var all []Finding
	for _, s := range h.subjects() {
		limit, limited, err := h.limit(s.pid, "Max open files")
		if err != nil {
			all = append(all, Finding{check, Warn, fmt.Sprintf("the limits of %s cannot be read: %v", s.who, err), "ask as the user of the service, or as root"})
			continue
		}
		if !limited {
			all = append(all, Finding{check, OK, s.who + " has no limit", ""})
			continue
		}
		used, known := h.used(s)
		detail := fmt.Sprintf("%s may have %d", s.who, limit)
		if known {
			detail += fmt.Sprintf(", and has %d", used)
		}
		switch {
		case limit <= fewDescriptors:
			all = append(all, Finding{check, Fail, detail + ": a successor could not hold the listeners", mend})
		case known && used > limit*4/5:
			all = append(all, Finding{check, Warn, detail + ": a successor has the same limit, and needs as many", mend})
		case limit <= someDescriptors:
			all = append(all, Finding{check, Warn, detail + ": each connection needs one", mend})
		default:
			all = append(all, Finding{check, OK, detail, ""})
		}
	}
	return all
}

// used is how many descriptors a service has open.
func (h *Host) used(s subject) (int64, bool) {
	if s.service == nil {
		return 0, false
	}
	entries, err := os.ReadDir(filepath.Join(h.Root, "/", of(s.pid, "fd")))
	return int64(len(entries)), err == nil
}

// processes is RLIMIT_NPROC, which counts the threads of a user (getrlimit(2)); root is exempt.
func (h *Host) processes(context.Context) []Finding {
	const check = "processes"
	var all []Finding
	for _, s := range h.subjects() {
		limit, limited, err := h.limit(s.pid, "Max processes")
		uid, _, _ := strings.Cut(h.field(of(s.pid, "status"), "Uid"), "\t")
		switch {
		case err != nil:
			continue // the check of open files has said so
		case !limited || uid == "0":
			all = append(all, Finding{check, OK, s.who + " has no limit", ""})
			continue
		}
		threads := h.threads(uid)
		detail := fmt.Sprintf("the user of %s may have %d threads, and has %d", s.who, limit, threads)
		if limit-threads < spareTasks {
			all = append(all, Finding{check, Fail, detail + ": a successor could not start",
				"LimitNPROC= higher in the unit, ulimit -u higher before a start by hand"})
			continue
		}
		all = append(all, Finding{check, OK, detail, ""})
	}
	return all
}

// threads of all processes of a user.
func (h *Host) threads(uid string) (n int64) {
	for _, pid := range h.pids() {
		if owner, _, _ := strings.Cut(h.field(of(pid, "status"), "Uid"), "\t"); owner == uid {
			threads, _ := strconv.ParseInt(h.field(of(pid, "status"), "Threads"), 10, 64)
			n += threads
		}
	}
	return n
}

// tasks is the limit of processes and threads of a control group, which containers and units have.
func (h *Host) tasks(context.Context) []Finding {
	const check = "tasks"
	var all []Finding
	for _, s := range h.subjects() {
		for _, group := range h.cgroups(s.pid) {
			limit, limited, err := h.number(group + "/pids.max")
			if err != nil || !limited {
				continue
			}
			now, _, err := h.number(group + "/pids.current")
			if err == nil && limit-now < spareTasks {
				all = append(all, Finding{check, Fail,
					fmt.Sprintf("the control group of %s may have %d tasks, and has %d: a successor could not start", s.who, limit, now),
					"TasksMax= higher in the unit, docker run --pids-limit higher"})
			}
		}
	}
	if len(all) == 0 {
		return well(check, "no control group keeps a successor from starting")
	}
	return all
}

// memory must hold two generations during a handover.
func (h *Host) memory(context.Context) []Finding {
	const check = "memory"
	var all []Finding
	for _, s := range h.subjects() {
		if s.service == nil {
			continue
		}
		resident := h.bytes(of(s.pid, "status"), "VmRSS")
		room, where := h.bytes("proc/meminfo", "MemAvailable"), "this machine"
		if resident == 0 || room == 0 {
			all = append(all, Finding{check, Warn, "how much memory " + s.who + " takes cannot be read", "ask as the user of the service, or as root"})
			continue
		}
		for _, group := range h.cgroups(s.pid) {
			if left, limited := h.left(group); limited && left < room {
				room, where = left, "its control group"
			}
		}
		detail := fmt.Sprintf("%s takes %s, %s has room for %s", s.who, size(resident), where, size(room))
		if room < resident {
			all = append(all, Finding{check, Warn, detail + ": two generations are in memory during a handover", "MemoryMax= higher in the unit, docker run --memory higher, or a larger machine"})
			continue
		}
		all = append(all, Finding{check, OK, detail, ""})
	}
	if len(all) == 0 {
		return well(check, "no service runs to compare with")
	}
	return all
}

// left is what a control group may still take; file pages that were not used lately can be given up.
func (h *Host) left(group string) (int64, bool) {
	limit, limited, err := h.number(group + "/memory.max")
	if err != nil || !limited {
		return 0, false
	}
	now, _, err := h.number(group + "/memory.current")
	if err != nil {
		return 0, false
	}
	text, _ := h.text(group + "/memory.stat")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "inactive_file "); ok {
			cached, _ := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			now -= min(cached, now)
		}
	}
	return max(limit-now, 0), true
}

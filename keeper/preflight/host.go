package preflight

import (
	"math"
	"path/filepath"
	"strconv"
	"strings"
)

// host is the root directory below which the kernel's files lie.
type host string

// memory returns how many bytes a further process can use before the machine, or a control group that this process is in,
// runs out, and which of them it is; "" if none could be read. What a control group uses counts without the file pages
// that it has not touched for long, as the kernel takes those back first.
func (h host) memory() (bytes int64, of string) {
	bytes = math.MaxInt64
	lower := func(available int64, where string) {
		if available < bytes {
			bytes, of = max(available, 0), where
		}
	}
	if kib, ok := h.field("proc/meminfo", "MemAvailable:"); ok {
		lower(kib<<10, "this machine")
	}
	for _, g := range h.groups("memory") {
		limit, usage, idle := "memory.max", "memory.current", "inactive_file"
		if g.v1 {
			limit, usage, idle = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		}
		most, limited := h.number(g.dir, limit)
		used, ok := h.number(g.dir, usage)
		if !limited || !ok {
			continue
		}
		reclaimable, _ := h.field(filepath.Join(g.dir, "memory.stat"), idle)
		lower(most-max(used-reclaimable, 0), g.dir)
	}
	return bytes, of
}

// tasks returns how many threads more a control group that this process is in lets it start; of is "" if none has a limit.
func (h host) tasks() (n int64, of string) {
	n = math.MaxInt64
	for _, g := range h.groups("pids") {
		most, limited := h.number(g.dir, "pids.max")
		used, ok := h.number(g.dir, "pids.current")
		if limited && ok && most-used < n {
			n, of = max(most-used, 0), g.dir
		}
	}
	return n, of
}

// number reads a file that holds one number; "max", as control groups call no limit, is none.
func (h host) number(dir, name string) (int64, bool) {
	text, err := readSmall(h.at(filepath.Join(dir, name)))
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

// field reads the number after a name, in a file of such lines.
func (h host) field(path, name string) (int64, bool) {
	text, err := readSmall(h.at(path))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(text) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

func (h host) at(path string) string { return filepath.Join(string(h), path) }

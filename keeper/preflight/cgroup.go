package preflight

import (
	"path"
	"slices"
	"strings"
)

// group is a control group that this process is in, or one above it.
type group struct {
	dir string // absolute
	v1  bool
}

// maxGroups bounds how far up is looked.
const maxGroups = 64

// groups returns the groups of a controller that this process is in, from its own to the highest that can be seen; where
// both versions of control groups are mounted, those of both. A limit anywhere on the way holds (cgroups(7)).
func (h host) groups(controller string) []group {
	memberships, err := readSmall(h.at("proc/self/cgroup"))
	if err != nil {
		return nil
	}
	mounts, err := readSmall(h.at("proc/self/mountinfo"))
	if err != nil {
		return nil
	}
	var all []group
	for line := range strings.Lines(memberships) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) < 3 {
			continue
		}
		v1 := fields[1] != ""
		if v1 && !slices.Contains(strings.Split(fields[1], ","), controller) {
			continue
		}
		root, mounted, ok := hierarchy(mounts, controller, v1)
		if !ok {
			continue
		}
		// Within a container without a namespace of its own for control groups, the path is the host's, and what is mounted
		// begins further down.
		below, ok := strings.CutPrefix(fields[2], strings.TrimSuffix(root, "/"))
		if !ok || strings.Contains(below, "..") {
			below = "/"
		}
		for range maxGroups {
			all = append(all, group{path.Join(mounted, below), v1})
			if below == "/" || below == "" {
				break
			}
			below = path.Dir(below)
		}
	}
	return all
}

// hierarchy finds in mountinfo (proc(5)) where the groups of a controller are mounted, and which group is the mount's root.
func hierarchy(mounts, controller string, v1 bool) (root, mounted string, ok bool) {
	for line := range strings.Lines(mounts) {
		before, after, found := strings.Cut(line, " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if !found || len(where) < 5 || len(what) < 3 {
			continue
		}
		matches := what[0] == "cgroup2"
		if v1 {
			matches = what[0] == "cgroup" && slices.Contains(strings.Split(what[2], ","), controller)
		}
		if matches {
			return where[3], where[4], true
		}
	}
	return "", "", false
}

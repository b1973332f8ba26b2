package keeper

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// role is what a process of nginx is, as its title says.
type role uint8

const (
	other   role = iota // a program that has just been executed, for one
	master              // or a process that it has just forked, and that has no title of its own yet
	worker              // takes requests
	retired             // a worker that takes no more, or a helper of the cache
)

// The titles are nginx's since 0.1 (ngx_setproctitle); what has come of it has them with a name of its own before the colon.
func roleOf(title string) role {
	_, title, _ = strings.Cut(title, ": ")
	switch {
	case strings.HasPrefix(title, "master process"):
		return master
	case strings.HasPrefix(title, "worker process is shutting down"), strings.HasPrefix(title, "cache "):
		return retired
	case strings.HasPrefix(title, "worker process"):
		return worker
	default:
		return other
	}
}

func titleOf(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
}

// family is the children of each process, at one look.
type family map[int][]int

func look() family {
	all := make(family)
	pids, _ := processes()
	for _, pid := range pids {
		if above := parent(pid); above > 0 {
			all[above] = append(all[above], pid)
		}
	}
	return all
}

// serves reports whether a master has a worker that takes requests.
func (f family) serves(master int) bool {
	for _, pid := range f[master] {
		if roleOf(titleOf(pid)) == worker {
			return true
		}
	}
	return false
}

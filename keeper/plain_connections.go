package keeper

import (
	"bufio"
	"maps"
	"net/netip"
	"os"
	"strings"

	"github.com/handover-go/handover/internal/wire"
)

// established is TCP_ESTABLISHED in include/net/tcp_states.h of the kernel, and connected SS_CONNECTED in
// include/uapi/linux/net.h, as the tables have them.
const (
	established = "01"
	connected   = "03"
)

// connections counts the clients' connections that a generation, process root, holds: those of the listeners, and no others of
// its own, nor of another generation that descends from it. What cannot be seen is not counted.
func connections(root, another int, listeners []wire.Listener) (n int) {
	held := make(map[string]bool)
	all, _ := processes()
	for _, pid := range all {
		if descends(pid, root) && !(descends(another, root) && descends(pid, another)) {
			these, _ := sockets(pid)
			maps.Copy(held, these)
		}
	}
	ports, paths := make(map[uint16]bool), make(map[string]bool)
	for _, l := range listeners {
		if l.Network == "unix" {
			paths[l.Bound] = true
		} else {
			bound, _ := netip.ParseAddrPort(l.Bound)
			ports[bound.Port()] = true
		}
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		eachRow(table, func(fields []string) {
			if len(fields) >= 10 && fields[3] == established && held[fields[9]] && ports[kernelAddr(fields[1]).Port()] {
				n++
			}
		})
	}
	eachRow("/proc/net/unix", func(fields []string) {
		if len(fields) >= 8 && fields[5] == connected && held[fields[6]] && paths[fields[7]] {
			n++
		}
	})
	return n
}

// eachRow calls f with the fields of each row of a table of the kernel's; of one that this host does not have, with none.
func eachRow(table string, f func(fields []string)) {
	file, err := os.Open(table)
	if err != nil {
		return
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f(strings.Fields(lines.Text()))
	}
}

//go:build debian

package zoo

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// held are the sockets that a process has open, by inode.
func held(t *testing.T, pid int) map[string]bool {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, path := range paths {
		to, err := os.Readlink(path)
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			all[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return all
}

// descriptor is the one by which a process has a socket open.
func descriptor(t *testing.T, pid int, inode string) int {
	t.Helper()
	paths, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if to, _ := os.Readlink(path); to == "socket:["+inode+"]" {
			fd, _ := strconv.Atoi(filepath.Base(path))
			return fd
		}
	}
	t.Fatalf("process %d does not have socket %s", pid, inode)
	return -1
}

// socket is a row of proc_net_tcp(5).
type socket struct{ local, remote, inode string }

// listenState is TCP_LISTEN, as /proc/net/tcp has it.
const listenState = "0A"

// connections are all of IPv4 that are not gone.
func connections(t *testing.T) (all []socket) {
	t.Helper()
	for i, row := range rows(t, "/proc/net/tcp") {
		if i == 0 || row[3] == listenState || row[9] == "0" { // those without an inode have no owner any more, or none yet
			continue
		}
		all = append(all, socket{address(t, row[1]), address(t, row[2]), row[9]})
	}
	return all
}

// clientsOf are the clients' ends of connections to an address: their inodes, by their own address.
func clientsOf(t *testing.T, service string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, s := range connections(t) {
		if s.remote == service {
			all[s.local] = s.inode
		}
	}
	return all
}

// accepted are the clients' addresses of the connections to the zoo that a process holds, and how many it holds over the unix socket.
func (z *cage) accepted(pid int) (clients map[string]bool, unix int) {
	z.t.Helper()
	inodes := held(z.t, pid)
	clients = map[string]bool{}
	for _, s := range connections(z.t) {
		if inodes[s.inode] {
			clients[s.remote] = true
		}
	}
	const accepting = "00010000" // __SO_ACCEPTCON
	for i, row := range rows(z.t, "/proc/net/unix") {
		if i > 0 && len(row) == 8 && row[7] == z.unix && row[3] != accepting && inodes[row[6]] {
			unix++
		}
	}
	return clients, unix
}

// owners are the processes of clients: of each, how many of those connections it has.
func owners(t *testing.T, clients map[string]bool) map[int]int {
	t.Helper()
	inodes := map[string]bool{}
	for _, s := range connections(t) {
		if clients[s.local] {
			inodes[s.inode] = true
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]int{}
	for _, dir := range processes {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		for inode := range held(t, pid) {
			if inodes[inode] {
				all[pid]++
			}
		}
	}
	return all
}

// drops are the datagrams that the kernel has dropped for a socket at this address, because its queue was full.
func drops(t *testing.T, service string) (n int) {
	t.Helper()
	for i, row := range rows(t, "/proc/net/udp") {
		if i == 0 || address(t, row[1]) != service {
			continue
		}
		more, err := strconv.Atoi(row[len(row)-1])
		if err != nil {
			t.Fatal(err)
		}
		n += more
	}
	return n
}

// stopped reports whether no thread of a process runs.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		_, after, _ := strings.Cut(string(stat), ") ")
		if err != nil || !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return len(tasks) > 0
}

func rows(t *testing.T, path string) (all [][]string) {
	t.Helper()
	table, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(table)) {
		all = append(all, strings.Fields(line))
	}
	return all
}

// address reads one of proc_net_tcp(5): the IPv4 address as a number of this machine's byte order, and the port.
func address(t *testing.T, hex string) string {
	t.Helper()
	var ip uint32
	var port uint16
	if _, err := fmt.Sscanf(hex, "%08X:%04X", &ip, &port); err != nil {
		t.Fatalf("address %q: %v", hex, err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{byte(ip), byte(ip >> 8), byte(ip >> 16), byte(ip >> 24)}), port).String()
}

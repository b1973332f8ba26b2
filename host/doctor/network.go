package doctor

import (
	"context"
	"fmt"
)

const (
	// shortBacklog is a queue that new connections fill within a pause of a tenth of a second at 10 000 a second.
	shortBacklog = 1024
	// smallBuffer is the kernel's usual bound on a socket's buffer, some hundred datagrams.
	smallBuffer = 1 << 20
)

// backlog is how many new connections can wait while nobody accepts, in the freeze and after a crash.
func (h *Host) backlog(context.Context) []Finding {
	const check = "somaxconn"
	n, _, err := h.number("proc/sys/net/core/somaxconn")
	if err != nil {
		return found(check, Warn, "net.core.somaxconn cannot be read, so Go listens with a backlog of 128: "+err.Error(), "ProcSubset=all in the unit, or mount all of /proc")
	}
	if n < shortBacklog {
		return found(check, Warn, fmt.Sprintf("%d new connections can wait while nobody accepts, the next are held up by a second or more", n),
			"sysctl -w net.core.somaxconn=4096, and start the service anew")
	}
	return well(check, fmt.Sprintf("%d new connections can wait", n))
}

// reusePort matters to listeners that share an address by SO_REUSEPORT: each has a queue of its own, which is lost when the
// last holder closes it, unless the kernel is told to move it to another. A handover passes the listeners themselves, and a build that
// has fewer of them accepts at all, so queues are lost only where the program closes one and keeps another.
func (h *Host) reusePort(context.Context) []Finding {
	const check = "reuseport"
	for _, s := range h.subjects() {
		if s.service == nil {
			continue
		}
		for _, ln := range s.service.Status.Listeners {
			if ln.Ordinal == 0 || ln.Packet || ln.Network == "unix" {
				continue
			}
			moves, _, err := h.number("proc/sys/net/ipv4/tcp_migrate_req")
			if err != nil || moves == 0 {
				return found(check, Warn,
					fmt.Sprintf("%s has several listeners at %s %s: a handover keeps them all, but one that the program closes itself loses the connections in its queue", s.who, ln.Network, ln.Address),
					"sysctl -w net.ipv4.tcp_migrate_req=1 (Linux 5.14), if the program closes any before it ends")
			}
		}
	}
	return well(check, "the listeners themselves are passed on, so that no queue is left behind")
}

// datagrams wait in the socket's buffer while nobody reads.
func (h *Host) datagrams(context.Context) []Finding {
	const check = "rmem_max"
	for _, s := range h.subjects() {
		if s.service == nil {
			continue
		}
		for _, ln := range s.service.Status.Listeners {
			n, _, err := h.number("proc/sys/net/core/rmem_max")
			if ln.Packet && err == nil && n < smallBuffer {
				return found(check, Warn,
					fmt.Sprintf("%s reads datagrams at %s: those that come while nobody reads wait in a buffer of at most %d bytes, the others are lost", s.who, ln.Address, n),
					"sysctl -w net.core.rmem_max=4194304, and SetReadBuffer in the service")
			}
		}
	}
	return well(check, "no datagram socket has too small a buffer")
}

// tls tells whether HTTPS connections go on in the next generation. A service that does not ask for it is left in peace.
func (h *Host) tls(context.Context) (all []Finding) {
	const check = "tls"
	for _, s := range h.subjects() {
		if s.service == nil || s.service.Status.TLS == nil {
			continue
		}
		t := s.service.Status.TLS
		if t.Off != "" {
			all = append(all, found(check, Warn, s.who+" drains HTTPS connections, and does not move them: "+t.Off,
				"build it with a Go release that its version of contrib/livetls knows, or without GODEBUG=fips140")...)
			continue
		}
		stay := uint64(0)
		for _, n := range t.Stayed {
			stay += n
		}
		all = append(all, well(check, fmt.Sprintf("%s moves HTTPS connections of TLS 1.3 and HTTP/1.1: %d left, %d came; %d are of a kind that stays", s.who, t.Left, t.Came, stay))...)
	}
	if all == nil {
		return well(check, "no service asks for its HTTPS connections to go on: they are drained")
	}
	return all
}

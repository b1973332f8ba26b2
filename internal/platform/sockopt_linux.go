package platform

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// comparedOptions need no word on which socket has which: the kernel refuses those that do not belong. On IPv6 the IP_
// rows show what their IPV6_ twins set, as both are one bit. TCP_MAXSEG is absent because it follows the route, SO_INCOMING_CPU as it
// follows the traffic, and what a program sets of a datagram socket that it has (IP_PKTINFO, IP_RECVTOS, UDP_GRO and their like) as
// it sets that of an adopted one as well.
var comparedOptions = []struct {
	name          string
	level, option int
}{
	{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR},
	{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT},
	{"SO_RCVBUF", unix.SOL_SOCKET, unix.SO_RCVBUF},
	{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF},
	{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	{"SO_PRIORITY", unix.SOL_SOCKET, unix.SO_PRIORITY},
	{"SO_MARK", unix.SOL_SOCKET, unix.SO_MARK},
	{"SO_BROADCAST", unix.SOL_SOCKET, unix.SO_BROADCAST},
	{"SO_DONTROUTE", unix.SOL_SOCKET, unix.SO_DONTROUTE},
	{"SO_OOBINLINE", unix.SOL_SOCKET, unix.SO_OOBINLINE},
	{"SO_RCVLOWAT", unix.SOL_SOCKET, unix.SO_RCVLOWAT},
	{"SO_BUSY_POLL", unix.SOL_SOCKET, unix.SO_BUSY_POLL},
	{"SO_MAX_PACING_RATE", unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE},
	{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
	{"IPV6_TCLASS", unix.IPPROTO_IPV6, unix.IPV6_TCLASS},
	{"IPV6_UNICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS},
	{"IP_TTL", unix.IPPROTO_IP, unix.IP_TTL},
	{"IP_MINTTL", unix.IPPROTO_IP, unix.IP_MINTTL},
	{"IP_TOS", unix.IPPROTO_IP, unix.IP_TOS},
	{"IP_TRANSPARENT", unix.IPPROTO_IP, unix.IP_TRANSPARENT},
	{"IP_FREEBIND", unix.IPPROTO_IP, unix.IP_FREEBIND},
	{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
	{"TCP_FASTOPEN", unix.IPPROTO_TCP, unix.TCP_FASTOPEN},
	{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY},
	{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	{"TCP_SYNCNT", unix.IPPROTO_TCP, unix.TCP_SYNCNT},
	{"TCP_LINGER2", unix.IPPROTO_TCP, unix.TCP_LINGER2},
	{"TCP_WINDOW_CLAMP", unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP},
	{"TCP_QUICKACK", unix.IPPROTO_TCP, unix.TCP_QUICKACK},
	{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT},
	{"TCP_SAVE_SYN", unix.IPPROTO_TCP, unix.TCP_SAVE_SYN},
}

// comparedTexts are options that are words: a device, or "" for none, and an algorithm.
var comparedTexts = []struct {
	name          string
	level, option int
}{
	{"SO_BINDTODEVICE", unix.SOL_SOCKET, unix.SO_BINDTODEVICE},
	{"TCP_CONGESTION", unix.IPPROTO_TCP, unix.TCP_CONGESTION},
}

func optionDifferences(adopted, fresh int) []string {
	var differences []string
	for _, o := range comparedOptions {
		is, err := unix.GetsockoptInt(adopted, o.level, o.option)
		if err != nil {
			continue
		}
		asked, err := unix.GetsockoptInt(fresh, o.level, o.option)
		if err != nil || is == asked {
			continue
		}
		if o.option == unix.TCP_FASTOPEN && o.level == unix.IPPROTO_TCP && asked == 0 && fastOpenUnasked() {
			continue
		}
		differences = append(differences, fmt.Sprintf("%s is %d, asked for %d", o.name, is, asked))
	}
	for _, o := range comparedTexts {
		is, err := unix.GetsockoptString(adopted, o.level, o.option)
		if err != nil {
			continue
		}
		if asked, err := unix.GetsockoptString(fresh, o.level, o.option); err == nil && is != asked {
			differences = append(differences, fmt.Sprintf("%s is %q, asked for %q", o.name, is, asked))
		}
	}
	if is, asked := linger(adopted), linger(fresh); is != asked {
		differences = append(differences, fmt.Sprintf("SO_LINGER is %s, asked for %s", is, asked))
	}
	return differences
}

func linger(fd int) string {
	l, err := unix.GetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER)
	if err != nil || l.Onoff == 0 {
		return "off"
	}
	return fmt.Sprintf("%d s", l.Linger)
}

// fastOpenUnasked reports whether listen(2) itself turns TCP Fast Open on: bit 0x400 of tcp_fastopen in the kernel's
// Documentation/networking/ip-sysctl.rst.
func fastOpenUnasked() bool {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_fastopen")
	if err != nil {
		return false
	}
	mode, err := strconv.Atoi(strings.TrimSpace(string(text)))
	return err == nil && mode&0x400 != 0
}

func probeSocket(network string) (fd int, told string, err error) {
	switch network {
	case "tcp", "udp":
		if fd, err = newProbe(unix.AF_INET6, socketType(network), false); err == unix.EAFNOSUPPORT {
			fd, err = newProbe(unix.AF_INET, socketType(network), false)
			return fd, network + "4", os.NewSyscallError("socket", err)
		}
		return fd, network + "6", os.NewSyscallError("socket", err)
	case "tcp4", "udp4":
		fd, err = newProbe(unix.AF_INET, socketType(network), false)
	case "tcp6", "udp6":
		fd, err = newProbe(unix.AF_INET6, socketType(network), true)
	case "unix", "unixgram", "unixpacket":
		fd, err = newProbe(unix.AF_UNIX, socketType(network), false)
	default:
		return -1, "", net.UnknownNetworkError(network)
	}
	return fd, network, os.NewSyscallError("socket", err)
}

func socketType(network string) int {
	switch network {
	case "udp", "udp4", "udp6", "unixgram":
		return unix.SOCK_DGRAM
	case "unixpacket":
		return unix.SOCK_SEQPACKET
	}
	return unix.SOCK_STREAM
}

// newProbe asks for plain TCP even where net would take Multipath TCP, which knows fewer options: control must not fail
// on the probe alone.
func newProbe(family, kind int, v6only bool) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	if family == unix.AF_INET6 {
		only := 0
		if v6only {
			only = 1
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only) // net does not insist either
	}
	option := unix.SO_REUSEADDR
	if kind == unix.SOCK_DGRAM {
		if family == unix.AF_UNIX {
			return fd, nil
		}
		option = unix.SO_BROADCAST
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

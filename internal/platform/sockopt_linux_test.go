package platform

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProbeEqualsWhatPackageNetMakes(t *testing.T) {
	leaksNothing(t)
	dir := t.TempDir()
	for _, c := range []struct{ network, addr, probe string }{
		{"tcp", "127.0.0.1:0", "tcp4"},
		{"tcp", "[::1]:0", "tcp"},
		{"tcp", ":0", "tcp"},
		{"tcp6", "[::1]:0", "tcp6"},
		{"unix", filepath.Join(dir, "stream"), "unix"},
		{"unixpacket", filepath.Join(dir, "packet"), "unixpacket"},
		{"udp", "127.0.0.1:0", "udp4"},
		{"udp6", "[::1]:0", "udp6"},
		{"unixgram", filepath.Join(dir, "gram"), "unixgram"},
	} {
		var told, toldProbe string
		config := net.ListenConfig{Control: func(network, _ string, _ syscall.RawConn) error { told = network; return nil }}
		made, err := config.Listen(context.Background(), c.network, c.addr)
		var conn syscall.Conn
		if err == nil {
			defer made.Close()
			conn = made.(syscall.Conn)
		} else {
			pc, err := config.ListenPacket(context.Background(), c.network, c.addr)
			must(t, err)
			defer pc.Close()
			conn = pc.(syscall.Conn)
		}
		adopted, err := FD(conn)
		must(t, err)
		fresh, err := ProbeSocket(c.probe, func(network, _ string, _ syscall.RawConn) error { toldProbe = network; return nil })
		must(t, err)
		if !isCloseOnExec(t, fresh) {
			t.Errorf("%s %s: the probe would be inherited", c.network, c.addr)
		}
		if differences := OptionDifferences(adopted, fresh); len(differences) != 0 {
			t.Errorf("%s %s: %q", c.network, c.addr, differences)
		}
		if told != toldProbe {
			t.Errorf("%s %s: control is told %q by net, %q by the probe", c.network, c.addr, told, toldProbe)
		}
		must(t, CloseFD(fresh))
	}
	if _, err := ProbeSocket("sctp", nil); err == nil {
		t.Error("an unknown network was probed")
	}
}

func TestChangedOptionsAreNamedWithBothValues(t *testing.T) {
	leaksNothing(t)
	ln := listenSinglePath(t, nil)
	adopted, err := FD(ln)
	must(t, err)
	options := []struct {
		level, option, value int
		want                 string
	}{
		{unix.SOL_SOCKET, unix.SO_REUSEPORT, 1, "SO_REUSEPORT is 0, asked for 1"},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, 16384, "SO_RCVBUF is "},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, "SO_KEEPALIVE is 0, asked for 1"},
		{unix.IPPROTO_IP, unix.IP_TOS, 16, "IP_TOS is 0, asked for 16"},
		{unix.IPPROTO_IP, unix.IP_FREEBIND, 1, "IP_FREEBIND is 0, asked for 1"},
		{unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 7, "TCP_FASTOPEN is 0, asked for 7"},
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1, "TCP_NODELAY is 0, asked for 1"},
		{unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1, "TCP_DEFER_ACCEPT is 0, asked for 1"},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 5000, "TCP_USER_TIMEOUT is 0, asked for 5000"},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 4, "TCP_KEEPCNT is 9, asked for 4"},
		{unix.SOL_SOCKET, unix.SO_BROADCAST, 1, "SO_BROADCAST is 0, asked for 1"},
		{unix.SOL_SOCKET, unix.SO_DONTROUTE, 1, "SO_DONTROUTE is 0, asked for 1"},
		{unix.SOL_SOCKET, unix.SO_OOBINLINE, 1, "SO_OOBINLINE is 0, asked for 1"},
		{unix.SOL_SOCKET, unix.SO_RCVLOWAT, 2, "SO_RCVLOWAT is 1, asked for 2"},
		{unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, 1 << 20, "SO_MAX_PACING_RATE is "},
		{unix.IPPROTO_IP, unix.IP_TTL, 7, "IP_TTL is 64, asked for 7"},
		{unix.IPPROTO_IP, unix.IP_MINTTL, 9, "IP_MINTTL is 0, asked for 9"},
		{unix.IPPROTO_TCP, unix.TCP_SYNCNT, 3, "TCP_SYNCNT is "},
		{unix.IPPROTO_TCP, unix.TCP_LINGER2, 11, "TCP_LINGER2 is "},
		{unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP, 20_000, "TCP_WINDOW_CLAMP is 0, asked for 20000"},
		{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16_384, "TCP_NOTSENT_LOWAT is 0, asked for 16384"},
		{unix.IPPROTO_TCP, unix.TCP_SAVE_SYN, 1, "TCP_SAVE_SYN is 0, asked for 1"},
	}
	texts := []struct {
		level, option int
		value, want   string
	}{
		{unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo", `SO_BINDTODEVICE is "", asked for "lo"`},
		{unix.IPPROTO_TCP, unix.TCP_CONGESTION, otherCongestion(t, adopted), "TCP_CONGESTION is "},
	}
	fresh, err := ProbeSocket("tcp4", func(_, _ string, c syscall.RawConn) error {
		var fault error
		err := c.Control(func(fd uintptr) {
			for _, o := range options {
				fault = errors.Join(fault, unix.SetsockoptInt(int(fd), o.level, o.option, o.value))
			}
			for _, o := range texts {
				fault = errors.Join(fault, unix.SetsockoptString(int(fd), o.level, o.option, o.value))
			}
			fault = errors.Join(fault, unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 5}))
		})
		return errors.Join(err, fault)
	})
	must(t, err)
	differences := OptionDifferences(adopted, fresh)
	wanted := []string{"SO_LINGER is off, asked for 5 s"}
	for _, o := range options {
		wanted = append(wanted, o.want)
	}
	for _, o := range texts {
		wanted = append(wanted, o.want)
	}
	for _, want := range wanted {
		if !slices.ContainsFunc(differences, func(d string) bool { return strings.HasPrefix(d, want) }) {
			t.Errorf("%q is not in %q", want, differences)
		}
	}
	must(t, CloseFD(fresh))
}

// otherCongestion is an algorithm that the kernel lets anyone use and that the socket does not.
func otherCongestion(t *testing.T, fd int) string {
	t.Helper()
	is, err := unix.GetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	must(t, err)
	if is != "reno" { // which no kernel is without
		return "reno"
	}
	return "cubic"
}

func TestFailingControlLeavesNoProbe(t *testing.T) {
	leaksNothing(t)
	refused := errors.New("refused")
	if _, err := ProbeSocket("udp", func(string, string, syscall.RawConn) error { return refused }); !errors.Is(err, refused) {
		t.Fatal(err)
	}
}

func TestTransparencyOfAnIPv6SocketIsSeenThroughItsIPv4Twin(t *testing.T) {
	leaksNothing(t)
	plain, err := ProbeSocket("tcp", nil)
	must(t, err)
	free, err := ProbeSocket("tcp", nil)
	must(t, err)
	must(t, unix.SetsockoptInt(free, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
	if got := OptionDifferences(plain, free); !slices.Equal(got, []string{"IP_FREEBIND is 0, asked for 1"}) {
		t.Errorf("%q", got)
	}
	must(t, CloseFD(plain))
	must(t, CloseFD(free))
}

package peer

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Activated is a socket that came from socket activation (sd_listen_fds(3)). The descriptor is the caller's.
type Activated struct {
	Spec wire.Listener
	FD   int
}

// Activation takes the sockets of socket activation: they are known by the address they are bound to. systemd holds them too,
// and goes on holding them after the service has ended. The variables are removed, as they are meant for this process alone.
func Activation(log *slog.Logger) []Activated {
	pid, count := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		_ = os.Unsetenv(v)
	}
	if pid != strconv.Itoa(os.Getpid()) {
		return nil
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return nil
	}
	var sockets []Activated
	for fd := 3; fd < 3+n; fd++ {
		network, listening, address, err := platform.SocketKind(fd)
		if err != nil || !listening && !strings.HasPrefix(network, "udp") && network != "unixgram" {
			log.Warn("descriptor of socket activation is of no use", "descriptor", fd, "network", network, "error", err)
			continue
		}
		sockets = append(sockets, Activated{
			wire.Listener{Network: network, Address: address, Bound: address, Packet: !listening, Shared: true}, fd,
		})
	}
	return sockets
}

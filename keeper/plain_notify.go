package keeper

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"strings"

	"github.com/handover-go/handover/internal/platform"
)

// ear is the socket at which one generation says how it is (sd_notify(3)). Its name is abstract, so that a program hears nothing
// of the file system's; who speaks, the kernel tells.
type ear struct {
	conn *net.UnixConn
	log  *slog.Logger
}

// maxNotice is the longest message, as systemd has it (NOTIFY_BUFFER_MAX).
const maxNotice = 4096

func openEar(log *slog.Logger) (*ear, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: "@handover-" + rand.Text()})
	if err != nil {
		return nil, fmt.Errorf("make a notification socket: %w", err)
	}
	if err := platform.PassCredentials(conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("make a notification socket: %w", err)
	}
	return &ear{conn, log}, nil
}

// address is what NOTIFY_SOCKET is to hold.
func (e *ear) address() string { return e.conn.LocalAddr().String() }

// listen tells the loop what the generation, or a process that descends from it, says, until its process has ended.
func (e *ear) listen(k *Keeper, g *generation) {
	k.background(context.Background(), func(ctx context.Context) {
		_, _ = g.process.Wait(ctx)
		_ = e.conn.Close()
	})
	k.background(context.Background(), func(context.Context) {
		message, control := make([]byte, maxNotice), make([]byte, platform.CredentialsSpace())
		for {
			n, controls, _, _, err := e.conn.ReadMsgUnix(message, control)
			if err != nil {
				return
			}
			pid := platform.Sender(control[:controls])
			if !descends(pid, g.PID()) {
				e.log.Warn("notification ignored: its sender is not of the service", "generation", g.number, "pid", pid)
				continue
			}
			if said := parseNotice(string(message[:n])); said != (notice{}) {
				k.post(func() { k.noticed(g, said) })
			}
		}
	})
}

func (e *ear) close() { _ = e.conn.Close() }

// notice is what of a message matters to a keeper.
type notice struct {
	ready, stopping bool
	status          string
}

// parseNotice reads one or more KEY=value lines. MAINPID and the watchdog mean nothing here, and a barrier is answered by
// closing its descriptor.
func parseNotice(message string) (n notice) {
	for line := range strings.Lines(message) {
		switch key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); {
		case key == "READY" && value == "1":
			n.ready = true
		case key == "STOPPING" && value == "1":
			n.stopping = true
		case key == "STATUS":
			n.status = value
		}
	}
	return n
}

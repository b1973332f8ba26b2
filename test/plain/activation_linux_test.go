package plain

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

func TestSocketOfActivationIsGivenToTheProgram(t *testing.T) {
	t.Parallel()
	r := activated(t)
	r.serving()
	var bound []string
	for _, l := range r.status().Listeners {
		bound = append(bound, l.Bound)
	}
	if len(bound) != 1 || bound[0] != r.address {
		t.Errorf("listens at %s, want %s once", bound, r.address)
	}
	before := r.status().PID
	if v := environment(t, before); v["LISTEN_FDS"] != "1" {
		t.Errorf("%s sockets", v["LISTEN_FDS"])
	}
	if reply, _ := r.upgrade(wire.Upgrade{}); reply.Outcome != "final" {
		t.Errorf("%+v", reply)
	}
}

// activated starts a keeper as systemd does, with a socket that is bound already where it is to listen.
func activated(t *testing.T) *run {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r := newRun(t, ln.Addr().String())
	f, err := ln.(*net.TCPListener).File()
	must(t, err)
	must(t, ln.Close())
	defer f.Close()
	dir := control.Dir(t)
	r.takeover = filepath.Join(dir, "run", "shop.sock")
	r.fault = filepath.Join(dir, "fault")
	r.breaks("says")
	self, err := os.Executable()
	must(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience) // which outlives the test's own, as its end is awaited
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`,
		self, "-listen", r.address, "-state", filepath.Join(dir, "state"), tiny(t), r.fault)
	cmd.Env = append(os.Environ(), roleVariable+"=keeper", "HANDOVER_RUNTIME_DIR="+filepath.Dir(r.takeover), "HANDOVER_PROBATION=100ms")
	var output strings.Builder
	cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = []*os.File{f}, &output, &output
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the keeper: %v\n%s", err, output.String())
		}
	})
	return r
}

//go:build linux

package agent

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/executable"
)

// nobody is a user that has no right of its own.
const nobody = 65534

// TestViewerWhoUpgradesIsDeniedAndRecorded by another user, who may look; and a record that is edited is found.
func TestViewerWhoUpgradesIsDeniedAndRecorded(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	h.admitsOthers()
	viewer := nobody
	if os.Geteuid() != 0 { // then there is nobody else, and who is no admin has no role: a socket of the agent's own user makes him one
		viewer = os.Geteuid()
	}
	h.control = "control: {access: {viewers: [\"uid:65534\"]}}\n"
	h.release("shop", "1.0.0", "")
	h.configure(h.shop("shop", handovertest.FreeAddress(t), "probation: 300ms, bake: 300ms"))
	h.start()
	before := h.awaits("shop", "running")

	said, code := h.as(viewer, "status", "shop")
	if code != 0 || !strings.Contains(said, "1.0.0") {
		t.Errorf("status: exit code %d\n%s", code, said)
	}
	if viewer == nobody {
		said, code = h.as(viewer, "upgrade", "--source", h.release("shop", "1.1.0", ""), "shop")
		if code != 14 || !strings.Contains(said, "denied") {
			t.Errorf("upgrade: exit code %d\n%s", code, said)
		}
		if after := h.awaits("shop", "running"); after.PID != before.PID {
			t.Errorf("process %d serves, after %d", after.PID, before.PID)
		}
		page := h.run("--agent", h.path("run-agent", "agent.sock"), "audit", "-o", "json")
		if !strings.Contains(page, "upgrade") || !strings.Contains(page, "denied") || !strings.Contains(page, "65534") {
			t.Errorf("not recorded:\n%s", page)
		}
	}

	log := h.path("state", "agent", "audit.log")
	h.run("--agent", h.path("run-agent", "agent.sock"), "pause", "shop")
	h.run("audit", "verify", log)
	content, err := os.ReadFile(log)
	must(t, err)
	must(t, os.WriteFile(log, bytes.Replace(content, []byte("pause"), []byte("purge"), 1), 0o600))
	if out, err := exec.Command(h.handover, "audit", "verify", log).CombinedOutput(); err == nil {
		t.Errorf("an edited log passes:\n%s", out)
	}
}

// admitsOthers puts the program, and the agent's socket, where other users reach them.
func (h *host) admitsOthers() {
	h.t.Helper()
	must(h.t, os.Chmod(h.dir, 0o755))
	program, err := os.ReadFile(h.handover)
	must(h.t, err)
	h.handover = h.path("handover")
	executable.Write(h.t, h.handover, program, 0o755)
}

// as runs the command line as another user.
func (h *host) as(uid int, args ...string) (said string, code int) {
	h.t.Helper()
	cmd := exec.CommandContext(h.ctx, h.handover, append([]string{"--agent", h.path("run-agent", "agent.sock")}, args...)...)
	if uid != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		h.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

package peer

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/platform"
)

// TestChildWhosePidfdWasSentIsNotTakenForDead: who receives it makes it non-blocking, for both, and waitid(2) does not wait any more.
func TestChildWhosePidfdWasSentIsNotTakenForDead(t *testing.T) {
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	fd, _, err := (&child{proc: cmd.Process}).Pidfd()
	if err != nil {
		t.Fatal(err)
	}
	received, err := platform.PidfdFromFD(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer received.Close()
	c := Child(cmd.Process)
	alive, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if how, err := c.Wait(alive); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%q, %v of a process that lives", how, err)
	}
	if err := c.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ends, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if how, err := c.Wait(ends); err != nil || !strings.Contains(how, "terminated") {
		t.Errorf("%q, %v of a process that was told to end", how, err)
	}
}

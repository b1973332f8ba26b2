//go:build debian

package container

import (
	"context"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/test/internal/count"
)

func TestContainerUpgradedByExecLosesNothing(t *testing.T) {
	c := start(t, nil)
	load := c.drive()
	for i := range count.Of(5, 20) {
		c.deploy("v" + strconv.Itoa(2+i%2))
		c.exec("handover", "upgrade")
		now := c.status()
		if now.Keeper.PID != 1 || now.Generation != 2+i {
			t.Fatalf("after %d upgrades: %+v", i+1, now)
		}
		c.answeredBy(load, now.PID)
	}
	report := load.Stop()
	t.Log(report)
	handovertest.AssertNothingLost(t, report)
	c.stop()
}

func TestRollbackAndRestartInAReadOnlyContainer(t *testing.T) {
	volume := mount{"/state", "tmpfs", "tmpfs", []string{"nosuid", "nodev"}}
	for name, v := range map[string]struct {
		env    []string
		mounts []mount
		held   bool
	}{
		"builds kept in a directory": {[]string{"HANDOVER_STATE_DIR=/state/shop"}, []mount{volume}, false},
		"builds kept as open files":  {nil, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, v.env, v.mounts...)
			first := c.status()
			load := c.drive()
			c.deploy("v2")
			c.exec("handover", "upgrade")
			c.exec("handover", "rollback")
			now := c.status()
			if now.Keeper.Running != first.Keeper.Running || now.Keeper.Previous == "" {
				t.Errorf("after the rollback: %+v, at first %+v", now, first)
			}
			c.answeredBy(load, now.PID)
			// Until then clients of the generation before may be asked to leave when their connections cannot follow.
			c.await("alone", func() bool { return len(c.status().Draining) == 0 })

			_, outside := c.processes()
			death, err := platform.OpenPidfd(outside[now.PID])
			if err != nil {
				t.Fatal(err)
			}
			defer death.Close()
			ctx, cancel := context.WithTimeout(t.Context(), eventTimeout)
			defer cancel()
			at := time.Now()
			if err := syscall.Kill(outside[now.PID], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := death.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			load.Killed(now.PID, at)
			c.await("started again", func() bool { s := c.status(); return s.Keeper.Restarts == 1 && s.PID != 0 && s.PID != now.PID })
			again := c.status()
			if again.Keeper.Running != first.Keeper.Running {
				t.Errorf("started again: %+v: v2, which lies in the volume, though v1 ran", again)
			}
			c.answeredBy(load, again.PID)
			c.exec("handover", "upgrade")
			report := load.Stop()
			t.Log(report)
			handovertest.AssertLostInCrashOnly(t, report)
			c.stop()
			if held := strings.Contains(c.output.String(), "builds are kept as open files"); held != v.held {
				t.Errorf("builds are kept as open files: %t", held)
			}
		})
	}
}

func TestOrphansOfAContainerAreReaped(t *testing.T) {
	c := start(t, nil)
	for range count.Of(5, 50) {
		pid, err := strconv.Atoi(strings.TrimSpace(c.exec("orphan")))
		if err != nil {
			t.Fatal(err)
		}
		c.await("reaped", func() bool { states, _ := c.processes(); return states[pid] == "" })
	}
	c.stop()
}

func TestContainerToldToEndEndsItsServiceWithCodeZero(t *testing.T) {
	c := start(t, nil)
	load := c.drive()
	c.exec("handover", "upgrade", "--wait=false") // two generations
	load.Stop()
	c.stop()
}

func TestKeeperKilledAsProcessOneEndsTheContainer(t *testing.T) {
	c := start(t, nil)
	if said, err := c.runc("kill", c.id, "KILL").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	c.awaitEnd(128 + int(syscall.SIGKILL))
}

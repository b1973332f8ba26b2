package keeper

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/rig"
)

// TestKeeperIsFitToBePID1 runs a keeper as the first process of a PID namespace, and its service forks twice, as a daemon does: orphans
// become the keeper's children, and it reaps them; the service is upgraded, and ends gracefully with its own exit status. It
// needs to be root to make the namespace: there is nothing to see otherwise.
func TestKeeperIsFitToBePID1(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Log("not root")
		return
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "service")
	address := handovertest.FreeAddress(t)
	// Each generation leaves ten orphans, which end when they are told to.
	daemons := fmt.Sprintf("for i in 0 1 2 3 4 5 6 7 8 9; do sh -c 'sh -c \"read x < %s/fifo\" &'; done\nexec %s", dir, rig.Build(t, ""))
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	fifo, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDWR, 0)
	must(t, err)
	defer fifo.Close()
	executable.Replace(t, program, []byte("#!/bin/sh\n"+daemons+"\n"), 0o755)

	cmd := exec.CommandContext(t.Context(), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc",
		handovertest.Build(t, "./keep"), "-name", "shop", "-state", filepath.Join(dir, "state"), program)
	cmd.Env = append(os.Environ(), "HANDOVER_RUNTIME_DIR="+filepath.Join(control.Dir(t), "run"), "GORACE=atexit_sleep_ms=0",
		"HANDOVER_PROBATION=100ms", "ADDR="+address)
	output := &told{}
	cmd.Stdout, cmd.Stderr = output, output
	must(t, cmd.Start())
	overdue := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer overdue.Stop()
	r := newRun(t, address)
	await := func(what string, n int) {
		t.Helper()
		r.Eventually(fmt.Sprintf("%d times %q", n, what), func() (any, bool) {
			said := output.String()
			return said, len(lines(said, what)) >= n
		})
	}
	await(up, 1)
	keeper := children(t, cmd.Process.Pid)[0]
	if namespaced, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", keeper)); err != nil || !strings.Contains(string(namespaced), "\t1\n") {
		t.Fatalf("the keeper, process %d, is not PID 1: %v\n%s", keeper, err, namespaced)
	}
	orphans := func(n int) {
		t.Helper()
		r.Eventually(fmt.Sprintf("%d children of the keeper, none a zombie", n), func() (any, bool) {
			all, zombies := children(t, keeper), 0
			for _, pid := range all {
				stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) // it may have been reaped
				if _, state, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(state, "Z") {
					zombies++
				}
			}
			return all, len(all) == n && zombies == 0
		})
	}
	orphans(1 + 10)
	_, err = fifo.WriteString(strings.Repeat("\n", 10))
	must(t, err)
	orphans(1)
	for n := range 3 {
		must(t, syscall.Kill(keeper, syscall.SIGUSR2))
		await(over, n+1)
		_, err = fifo.WriteString(strings.Repeat("\n", 10))
		must(t, err)
		orphans(1)
	}
	busy := r.dial()
	busy.Ask("/slow?id=busy&ms=300")
	r.get("/")
	must(t, syscall.Kill(keeper, syscall.SIGTERM))
	if body := busy.Answer(); !strings.HasPrefix(body, "busy ") {
		t.Errorf("answer %q", body)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the keeper ended with %v", err)
	}
	if n := len(lines(output.String(), `outcome=final`)); n != 3 || t.Failed() {
		t.Errorf("%d upgrades are final, want 3\n%s", n, output)
	}
}

// children are the processes of which that one is the parent.
func children(t *testing.T, parent int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	must(t, err)
	for _, task := range tasks {
		list, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		for word := range strings.FieldsSeq(string(list)) {
			var pid int
			if _, err := fmt.Sscan(word, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

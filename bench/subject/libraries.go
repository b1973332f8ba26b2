package subject

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/handover-go/handover/bench/service"
)

// Names that others ask for.
const (
	Alone = "handover"
	Kept  = "handover + keeper"
	Plain = "net/http restarted"
)

// alone is a service that embeds the library, and nothing else.
func alone() *Subject {
	return goService(Alone, "this tree", "SIGUSR2", "handover", syscall.SIGUSR2)
}

// serviceName is that of the service.
const serviceName = "bench"

// Library is a service that embeds the library, without a keeper.
func Library() *Subject { return alone() }

// kept is the same service under "handover run".
func kept() *Subject {
	s := goService(Kept, "this tree", "SIGUSR2 to the keeper", "handover", syscall.SIGUSR2)
	s.serving = others
	s.prepare = func(r *Running) (*exec.Cmd, error) {
		cmd := exec.Command(r.builds.keeper, "run", "--name", serviceName, "--log-format", "json",
			"--state-dir", filepath.Join(r.dir, "state"), "--", r.path, r.Address)
		cmd.Env = append(os.Environ(), "HANDOVER_RUNTIME_DIR="+filepath.Join(r.dir, "run"))
		return cmd, nil
	}
	return s
}

// Bare is a program that does nothing but answer signals and a socket. It is never upgraded.
func Bare() *Subject { return goService("bare", "this Go", "", "bare", 0) }

func tableflip() *Subject {
	return goService("tableflip", "v1.2.3", "SIGHUP", "tableflip", syscall.SIGHUP)
}

func endless() *Subject {
	return goService("endless", "v0.0.0-20170109170031", "SIGHUP", "endless", syscall.SIGHUP)
}

// overseer has a parent that does not serve.
func overseer() *Subject {
	s := goService("overseer", "v1.1.4", "SIGUSR2 to the parent", "overseer", syscall.SIGUSR2)
	s.serving = others
	return s
}

// Plainly is a service on net/http alone, beside which others are measured.
func Plainly() *Subject { return restarted() }

// restarted is stopped, waited for, and started, as "systemctl restart" does it.
func restarted() *Subject {
	s := goService(Plain, "this Go", "SIGTERM, then started again", "plain", 0)
	s.trigger = func(ctx context.Context, r *Running) error {
		old := r.root
		if err := syscall.Kill(old, syscall.SIGTERM); err != nil {
			return err
		}
		if err := r.awaitExit(ctx, old); err != nil {
			return err
		}
		return r.start(ctx)
	}
	return s
}

// goService is one that is upgraded by a signal to the process that serves, or else to its parent that stays.
func goService(name, version, how, program string, signal syscall.Signal) *Subject {
	s := &Subject{Name: name, Version: version, How: how, Faults: libraryFaults}
	s.prepare = func(r *Running) (*exec.Cmd, error) {
		cmd := exec.Command(r.path, r.Address)
		cmd.Env = append(os.Environ(), "HANDOVER_NAME="+serviceName, "HANDOVER_RUNTIME_DIR="+filepath.Join(r.dir, "run"))
		return cmd, nil
	}
	s.install = func(r *Running, f service.Fault) error {
		return service.Install(filepath.Join(r.builds.dir, program), r.path, f)
	}
	s.trigger = func(_ context.Context, r *Running) error {
		target := r.root
		if s.serving == nil {
			pids, err := r.Serving()
			if err != nil {
				return err
			}
			if len(pids) != 1 {
				return fmt.Errorf("upgrade %s: %d processes serve, want one", name, len(pids))
			}
			target = pids[0]
		}
		return syscall.Kill(target, signal)
	}
	return s
}

// others than the root serve.
func others(all []Process, root int) []Process {
	return slices.DeleteFunc(all, func(p Process) bool { return p.PID == root })
}

// patience bounds what takes moments.
const patience = 20 * time.Second

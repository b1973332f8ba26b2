package subject

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/bench/service"
)

// Running is a subject that runs.
type Running struct {
	Subject *Subject
	Address string // where it answers
	Log     *Log   // what its processes write

	builds  *Builds
	backend *Running // behind a proxy
	dir     string
	path    string // of the executable that is replaced
	root    int
	census  census
	wait    sync.WaitGroup
}

// Start starts a subject, and waits until it answers. The caller owns it, and has to call Stop.
func (s *Subject) Start(ctx context.Context, b *Builds) (*Running, error) {
	if err := beSubreaper(); err != nil {
		return nil, err
	}
	r := &Running{Subject: s, Log: newLog(), builds: b}
	err := r.begin(ctx)
	if err != nil {
		err = fmt.Errorf("start %s: %w\n%s", s.Name, err, r.Log.Tail(20))
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

func (r *Running) begin(ctx context.Context) (err error) {
	if r.Subject.Proxy {
		if r.backend, err = restarted().Start(ctx, r.builds); err != nil {
			return err
		}
	}
	if r.dir, err = os.MkdirTemp("", "handover-bench-"); err != nil {
		return err
	}
	r.path = filepath.Join(r.dir, "service")
	if r.Address, err = freeAddress(); err != nil {
		return err
	}
	if err := r.Install(service.Good); err != nil {
		return err
	}
	return r.start(ctx)
}

// start starts the first process, and waits until it answers.
func (r *Running) start(ctx context.Context) error {
	cmd, err := r.Subject.prepare(r)
	if err != nil {
		return err
	}
	out, err := r.Log.pipe(&r.wait)
	if err != nil {
		return err
	}
	cmd.Dir, cmd.Stdout, cmd.Stderr = r.dir, out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = out.Close()
	if err != nil {
		return err
	}
	r.root = cmd.Process.Pid
	r.census.add(r.root)
	ended := make(chan struct{})
	r.wait.Go(func() {
		defer close(ended)
		_ = cmd.Wait() // how it ends is told by what it writes
	})
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		c, err := net.Dial("tcp", r.Address)
		if err == nil {
			return true, c.Close()
		}
		select {
		case <-ended:
			return false, errors.New("it has ended")
		default:
			return false, nil
		}
	})
}

// Install puts a build at the place from which the next process is started: for a proxy, a configuration.
func (r *Running) Install(f service.Fault) error { return r.Subject.install(r, f) }

// Trigger asks for an upgrade. It returns at once, but for the subjects that need more than a signal.
func (r *Running) Trigger(ctx context.Context) error { return r.Subject.trigger(ctx, r) }

// Upgrade is how an upgrade went.
type Upgrade struct {
	Began time.Time     // just before it was asked for
	Gone  time.Duration // from then until the last process that had served before was gone
}

// Upgrade upgrades, and waits until other processes serve and those before are gone. asked, unless nil, is called just before
// the trigger.
func (r *Running) Upgrade(ctx context.Context, asked func(at time.Time)) (u Upgrade, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("upgrade %s: %w\n%s", r.Subject.Name, err, r.Log.Tail(20))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, err := r.Serving()
	if err != nil {
		return u, err
	}
	gone, done := time.Time{}, make(chan error, 1)
	u.Began = time.Now()
	if asked != nil {
		asked(u.Began)
	}
	go func() {
		var err error
		gone, err = awaitExits(ctx, before)
		done <- err
	}()
	err = r.Trigger(ctx)
	if err != nil {
		cancel()
	}
	if err := errors.Join(err, <-done); err != nil {
		return u, err
	}
	u.Gone = gone.Sub(u.Began)
	return u, poll(ctx, func() (bool, error) { // nobody may be left to upgrade but the next
		now, err := r.Serving()
		return len(now) > 0 && !slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(before, pid) }), err
	})
}

// Serving are the pids of the processes that serve: not those of a parent that does not.
func (r *Running) Serving() ([]int, error) {
	all, err := r.census.living()
	if r.Subject.serving != nil {
		all = r.Subject.serving(all, r.root)
	}
	return pids(all), err
}

// All are the pids of every process of the subject, and of the service behind a proxy if that is wanted.
func (r *Running) All(behind bool) ([]int, error) {
	all, err := r.census.living()
	if behind && r.backend != nil {
		more, bad := r.backend.census.living()
		all, err = append(all, more...), errors.Join(err, bad)
	}
	return pids(all), err
}

// Root is the process that was started: the parent that stays, where there is one.
func (r *Running) Root() int { return r.root }

// TakeoverSocket is the path of the service's, with handover.
func (r *Running) TakeoverSocket() string {
	return filepath.Join(r.dir, "run", serviceName+".sock")
}

// Socket is the path of a bare program's.
func (r *Running) Socket() string { return filepath.Join(r.dir, service.Socket) }

// Kill kills those processes, by SIGKILL. What is not the subject's is left alone.
func (r *Running) Kill(pids ...int) error {
	var errs []error
	for _, pid := range pids {
		errs = append(errs, r.census.kill(pid))
	}
	return errors.Join(errs...)
}

// Stop ends every process of the subject, by SIGKILL, and waits for them.
func (r *Running) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := poll(ctx, func() (bool, error) {
		all, err := r.census.living()
		if err != nil || len(all) == 0 {
			return true, err
		}
		if err := r.Kill(pids(all)...); err != nil {
			return false, err
		}
		_, err = awaitExits(ctx, pids(all))
		return false, err
	})
	if err == nil {
		r.wait.Wait()
	}
	if r.dir != "" {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	if r.backend != nil {
		err = errors.Join(err, r.backend.Stop())
	}
	return err
}

func (r *Running) awaitExit(ctx context.Context, pid int) error {
	_, err := awaitExits(ctx, []int{pid})
	return err
}

func pids(all []Process) []int {
	var n []int
	for _, p := range all {
		n = append(n, p.PID)
	}
	return n
}

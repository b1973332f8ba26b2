package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Nginx is the Config.Strategy by which nginx, and what has come of it, is replaced in its own way
// (https://nginx.org/en/docs/control.html#upgrade).
const Nginx = "nginx"

// nginx is what the keeper needs for that. A master that is told to executes what it has for argv[0] once more, with its own arguments
// and directory: so what is to change from build to build has to stand behind a link, and argv[0] is one.
type nginx struct {
	program, release string // links to the build, and to the directory that it was asked for with
	fallback         string // the directory of builds without one
	args             []string
	turn             sync.Mutex // held while a master is started, which executes what the links lead to
	launching        bool       // the loop's: a master is about to be there
}

func newNginx(c Config) (*nginx, error) {
	dir := filepath.Join(c.StateDir, "nginx")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of what nginx executes: %w", err)
	}
	return &nginx{program: filepath.Join(dir, "program"), release: filepath.Join(dir, "release"), fallback: c.Dir, args: c.Args}, nil
}

// point has the links lead to a build.
func (n *nginx) point(s stock) error {
	dir := s.dir
	if dir == "" {
		dir = n.fallback
	}
	for link, target := range map[string]string{n.program: s.executable(), n.release: dir} {
		next := link + ".next"
		if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("lead nginx to its build: %w", err)
		}
		if err := os.Symlink(target, next); err != nil {
			return fmt.Errorf("lead nginx to its build: %w", err)
		}
		if err := os.Rename(next, link); err != nil {
			return fmt.Errorf("lead nginx to its build: %w", err)
		}
	}
	return nil
}

// pointBack leads to what serves, which executes nothing else when it is told to the next time.
func (k *Keeper) pointBack() {
	if k.nginx == nil || k.incumbent == nil {
		return
	}
	if err := k.nginx.point(k.incumbent.build); err != nil {
		k.log.Error("the build that was not let in stands where nginx looks for it", "error", err)
	}
}

// rehearse leads to a build, and has it read its configuration (nginx -t) before anybody is touched.
func (k *Keeper) rehearse(ctx context.Context, s stock) error {
	if s.script {
		return fmt.Errorf("%q is a script: give nginx itself, which executes what it was started as again", s.Origin)
	}
	if err := k.nginx.point(s); err != nil {
		return err
	}
	said, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = said.Close() }()
	c, err := k.nursery.start(&exec.Cmd{
		Path: k.nginx.program, Args: append([]string{k.nginx.program, "-t", "-q"}, k.nginx.args...), Dir: k.directory(s.dir),
		Env: k.environment(s), Stderr: theirs,
	})
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("have nginx test its configuration: %w", err)
	}
	defer c.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = said.SetReadDeadline(deadline)
	}
	text, _ := io.ReadAll(io.LimitReader(said, maxComplaint))
	how, err := c.Wait(ctx)
	switch {
	case err != nil:
		_ = c.Kill()
		<-c.done
		return fmt.Errorf("have nginx test its configuration: %w", err)
	case c.exit.Failed:
		return fmt.Errorf("nginx does not take its configuration: %s: %s", how, strings.Join(strings.Fields(string(text)), " "))
	}
	return nil
}

// maxComplaint bounds what is read of what nginx says about its configuration: the pipe takes the rest, or nginx is killed.
const maxComplaint = 4096

// recheck is the pause between two looks at processes that are nobody's to tell of: at first, and at last.
const (
	firstRecheck = 5 * time.Millisecond
	lastRecheck  = 100 * time.Millisecond
)

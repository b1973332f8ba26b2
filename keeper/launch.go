package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// launch starts a generation that embeds handover, without holding up the loop, and goes on there with it and the link on which it
// expects its incumbent, which is closed then unless goOn keeps it.
func (k *Keeper) launch(a *attempt, s stock, goOn func(*generation, *platform.Socket) (kept bool)) {
	a.launching = a.incumbent == nil
	k.background(context.Background(), func(context.Context) {
		g, link, err := k.prepare(s)
		kept := false
		taken := make(chan struct{})
		k.post(func() {
			defer close(taken)
			a.launching = false
			switch {
			case err != nil && k.attempt == a:
				k.failed(a, wire.CodeFailed, err)
			case err == nil:
				k.add(g)
				if k.attempt != a {
					_ = g.process.Kill() // it has come too late
					return
				}
				a.successor = g
				if a.incumbent != nil {
					g.expend(k)
				}
				kept = goOn(g, link)
			}
		})
		select {
		case <-taken:
		case <-k.done:
			if g != nil && !closed(taken) {
				_ = g.socket.Close()
				g.child.discard()
			}
		}
		if link != nil && !kept {
			_ = link.Close()
		}
	})
}

// closed reports whether c is.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// prepare starts the process. It inherits two links: the one to its incumbent, whose other end is returned, and the one to the keeper.
func (k *Keeper) prepare(s stock) (*generation, *platform.Socket, error) {
	incumbentEnd, theirs, err := platform.Pair()
	if err != nil {
		return nil, nil, fmt.Errorf("make a link: %w", err)
	}
	defer func() { _ = theirs.Close() }()
	ours, theirsToKeeper, err := platform.Pair()
	if err != nil {
		_ = incumbentEnd.Close()
		return nil, nil, fmt.Errorf("make a link: %w", err)
	}
	defer func() { _ = theirsToKeeper.Close() }()
	c, err := k.run(s, []*os.File{theirs, theirsToKeeper}, "HANDOVER_LINK=3", "HANDOVER_KEEPER=4")
	if err != nil {
		_ = incumbentEnd.Close()
		_ = ours.Close()
		return nil, nil, err
	}
	g := newGeneration(c, s)
	g.socket = ours
	g.Peer = &peer.Peer{Link: peer.NewLink(ours), Process: c}
	return g, incumbentEnd, nil
}

func newGeneration(c *child, s stock) *generation {
	return &generation{process: c, child: c, build: s, started: time.Now(), answers: make(map[uint32]func(*wire.Reply))}
}

// run starts the build, and makes sure that it is the one that was examined which runs.
func (k *Keeper) run(s stock, files []*os.File, variables ...string) (*child, error) {
	path := s.executable()
	cmd := &exec.Cmd{
		Path: path, Args: append([]string{k.config.Command}, k.arguments(s)...), Dir: k.place(s),
		Env:        append(k.environment(s), variables...),
		ExtraFiles: files, // from descriptor 3 on
	}
	var c *child
	var err error
	if limits := k.limits(s); len(k.config.Listen) > 0 || len(limits) > 0 {
		c, err = k.spawnToBecome(cmd, limits)
	} else {
		c, err = k.spawn(cmd)
	}
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	if err := verify(c, s, path); err != nil {
		c.discard()
		return nil, fmt.Errorf("start the service: %w", err)
	}
	return c, nil
}

// spawn starts a process of the service, with what it reads and writes.
func (k *Keeper) spawn(cmd *exec.Cmd) (*child, error) {
	file, path, err := k.output.open()
	if err != nil {
		k.log.Error("a process of the service writes to what the keeper does", "service", k.config.Name, "error", err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if file != nil {
		defer func() { _ = file.Close() }()
		cmd.Stdout, cmd.Stderr = file, file
	}
	c, err := k.nursery.start(cmd)
	if err != nil {
		if path != "" {
			_ = os.Remove(path)
		}
		return nil, err
	}
	c.output = path
	return c, nil
}

// verify makes sure that the process runs what was examined, or did before it executed another program, as a shell does.
func verify(c *child, s stock, path string) error {
	if path != s.Origin || s.script {
		return nil
	}
	running, err := os.Stat("/proc/" + strconv.Itoa(c.PID()) + "/exe")
	if err != nil || s.same(running) {
		return nil
	}
	if there, err := os.Stat(path); err != nil || !s.same(there) {
		return fmt.Errorf("%q was replaced while it was being started: try again", path)
	}
	return nil
}

// directory is where a build is started that was asked for with dir.
func (k *Keeper) directory(dir string) string {
	if dir == "" {
		return k.config.Dir
	}
	return dir
}

// releaseVariable tells a generation the directory that its build was asked for with.
const releaseVariable = "HANDOVER_RELEASE"

// environment is what the build was given, or else this process's without what was meant for it alone, and with what the service must know.
func (k *Keeper) environment(s stock) []string {
	env := slices.DeleteFunc(k.given(s), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return own(name)
	})
	env = append(env, "HANDOVER_NAME="+k.config.Name)
	if k.config.RuntimeDir != "" {
		env = append(env, "HANDOVER_RUNTIME_DIR="+k.config.RuntimeDir)
	}
	if s.dir != "" {
		env = append(env, releaseVariable+"="+s.dir, "PWD="+s.dir)
	}
	return env
}

// start starts a generation while none lives: from the build that served last, or else from the file of the command.
func (k *Keeper) start() {
	a := &attempt{begun: time.Now()}
	k.attempt = a
	k.timer.Reset(k.config.ReadyTimeout)
	last := k.shelf.running
	if last.Digest != "" {
		k.begin(a, last)
		return
	}
	k.fetch(a, wanted{path: k.config.Command, dir: last.dir, label: last.label}, k.begin)
}

// begin starts it, with the keeper as its incumbent.
func (k *Keeper) begin(a *attempt, s stock) {
	switch {
	case k.nginx != nil:
		k.beginNginx(a, s)
		return
	case len(k.config.Listen) > 0:
		k.beginPlain(a, s)
		return
	}
	k.launch(a, s, func(g *generation, link *platform.Socket) bool {
		k.timer.Reset(k.config.ReadyTimeout)
		k.log.Info("the service is started", "service", k.config.Name, "pid", g.PID(), "build", s.String())
		a.offer = newOffer(k, g, link)
		a.offer.Observe(k.inbox, k.done)
		return true
	})
}

// fetch examines and keeps a build for the attempt, without holding up the loop, and goes on with it.
func (k *Keeper) fetch(a *attempt, w wanted, goOn func(*attempt, stock)) {
	running, pid := k.shelf.running, 0
	if k.incumbent != nil {
		pid = k.incumbent.PID()
	}
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		s, err := k.shelf.fetch(w, running, pid)
		k.post(func() {
			switch {
			case k.attempt != a:
				_ = s.Release()
			case err != nil:
				k.failed(a, wire.CodeVerification, err)
			default:
				goOn(a, k.arrange(k.shelf.settle(s), w))
			}
		})
	}()
}

// hold keeps the build that process pid runs.
func (k *Keeper) hold(pid int, kept func(stock, error)) {
	path := "/proc/" + strconv.Itoa(pid) + "/exe"
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		s, err := k.shelf.keep(path, false)
		k.post(func() { kept(s, err) })
	}()
}

// releaseOf is the directory that a process was started in as a release, or empty.
func releaseOf(pid int) string {
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for v := range strings.SplitSeq(string(environ), "\x00") {
		if dir, ok := strings.CutPrefix(v, releaseVariable+"="); ok {
			return dir
		}
	}
	return ""
}

// failed ends an attempt of which nothing came, before or in place of a process.
func (k *Keeper) failed(a *attempt, code wire.Code, err error) {
	k.log.Error("the service is not started", "service", k.config.Name, "error", err)
	k.last = err.Error()
	if k.state == upgrading {
		k.over(a, &wire.Reply{Outcome: "aborted", Error: err.Error(), Code: code})
		return
	}
	k.code = 1
	k.fell(0, err.Error())
}

var errNoBuildBefore = errors.New("no build before this one is kept")

package keeper

import (
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

// launch starts a generation that embeds handover. It inherits two links: the one to its incumbent, whose other end is
// returned, and the one to the keeper.
func (k *Keeper) launch(s stock) (*generation, *platform.Socket, error) {
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
	return &generation{process: c, child: c, build: s, answers: make(map[uint32]func(*wire.Reply))}
}

// run starts the build, and makes sure that it is the one that was examined which runs.
func (k *Keeper) run(s stock, files []*os.File, variables ...string) (*child, error) {
	path := s.executable()
	cmd := &exec.Cmd{
		Path: path, Args: append([]string{k.config.Command}, k.config.Args...), Dir: k.config.Dir,
		Env:   append(k.environment(), variables...),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		ExtraFiles: files, // from descriptor 3 on
	}
	c, err := k.nursery.start(cmd)
	if err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	if err := verify(c, s, path); err != nil {
		c.discard()
		return nil, fmt.Errorf("start the service: %w", err)
	}
	return c, nil
}

// verify makes sure that the process runs what was examined.
func verify(c *child, s stock, path string) error {
	if path != s.Origin || s.script {
		return nil
	}
	running, err := os.Stat("/proc/" + strconv.Itoa(c.PID()) + "/exe")
	if err == nil && !s.same(running) {
		return fmt.Errorf("%q was replaced while it was being started: try again", path)
	}
	return nil
}

// environment is this process's without what was meant for it alone, and with what the service must know.
func (k *Keeper) environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", stateVariable}, name) ||
			strings.HasPrefix(name, "LISTEN_") || strings.HasPrefix(name, "WATCHDOG_")
	})
	env = append(env, k.config.Env...)
	env = append(env, "HANDOVER_NAME="+k.config.Name)
	if k.config.RuntimeDir != "" {
		env = append(env, "HANDOVER_RUNTIME_DIR="+k.config.RuntimeDir)
	}
	return env
}

// start starts a generation while none lives: from the build that served last, or else from the file of the command.
func (k *Keeper) start() {
	a := &attempt{begun: time.Now()}
	k.attempt = a
	k.timer.Reset(k.config.ReadyTimeout)
	if last := k.shelf.running; last.Digest != "" {
		k.begin(a, last)
		return
	}
	k.fetch(a, k.config.Command, k.begin)
}

// begin starts it, with the keeper as its incumbent.
func (k *Keeper) begin(a *attempt, s stock) {
	if len(k.config.Listen) > 0 {
		k.beginPlain(a, s)
		return
	}
	g, link, err := k.launch(s)
	if err != nil {
		k.failed(a, wire.CodeFailed, err)
		return
	}
	k.log.Info("the service is started", "service", k.config.Name, "pid", g.PID(), "build", s.String())
	a.successor = g
	a.offer = newOffer(k, g, link)
	k.add(g)
	a.offer.Observe(k.inbox, k.done)
}

// fetch examines and keeps a build for the attempt, without holding up the loop, and goes on with it.
func (k *Keeper) fetch(a *attempt, path string, goOn func(*attempt, stock)) {
	running, pid := k.shelf.running, 0
	if k.incumbent != nil {
		pid = k.incumbent.PID()
	}
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		s, err := k.shelf.fetch(path, running, pid)
		k.post(func() {
			switch {
			case k.attempt != a:
				_ = s.Release()
			case err != nil:
				k.failed(a, wire.CodeVerification, err)
			default:
				goOn(a, k.shelf.settle(s))
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

package keeper

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/keeper/preflight"
)

// stateVariable tells a keeper's program which descriptor has what the program before it knew; "try" and descriptor 3, that it
// is only to say whether it could go on with that.
const stateVariable = "HANDOVER_KEEPER_STATE"

const tryState = "try"

// tryTimeout bounds the trial of a keeper's next build.
const tryTimeout = 10 * time.Second

// replace has the file that this program came from take its place, in the same process, so that its children stay its children.
// Generations notice nothing: their links are carried over, frames within included. client, who asked, is answered by the next
// program; refused, or where that cannot be started, by this one.
func (k *Keeper) replace(client *platform.Socket, answer func(*wire.Reply)) {
	busy := func(why string) {
		answer(&wire.Reply{Error: "the keeper is not replaced: " + why, Code: wire.CodeBusy})
	}
	switch {
	case k.attempt != nil || k.state != serving:
		busy(fmt.Sprintf("the service is %s", k.state))
		return
	case len(k.config.Listen) > 0 && len(k.generations) > 1:
		busy("a generation has not ended yet, and this keeper sees to that: try again")
		return
	}
	k.step(onUpgrade, "of the keeper")
	a := &attempt{begun: time.Now(), callers: callersOf(caller{answer: answer})}
	k.attempt = a
	generations := slices.Clone(k.generations)
	s := &saved{Version: savedVersion, Name: k.config.Name}
	k.wait.Add(1)
	go func() {
		defer k.wait.Done()
		path, err := k.try(s)
		if err == nil {
			for _, g := range generations {
				g.pause()
			}
		}
		k.post(func() {
			for len(k.inbox) > 0 {
				k.reported(<-k.inbox)
			}
			if err == nil {
				err = k.become(a, path, s, client) // returns only if it fails
			}
			for _, g := range k.generations {
				g.resume(k)
			}
			if k.attempt == a {
				code := wire.CodeFailed
				if errors.Is(err, preflight.ErrUnfit) || errors.Is(err, errTrial) {
					code = wire.CodeVerification
				}
				k.over(a, &wire.Reply{Outcome: "aborted", Error: err.Error(), Code: code})
			}
		})
	}()
}

var errTrial = errors.New("the keeper's next build cannot go on")

// try examines the next build, and has it say whether it understands this one.
func (k *Keeper) try(s *saved) (path string, err error) {
	if path, err = os.Executable(); err != nil {
		return "", err
	}
	if _, err := preflight.Check(path, preflight.Reference{Path: "/proc/self/exe", PID: os.Getpid()}); err != nil {
		return "", err
	}
	f, err := s.file()
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	c, err := k.nursery.start(&exec.Cmd{
		Path: path, Args: os.Args, Dir: k.config.Dir, Env: append(os.Environ(), stateVariable+"="+tryState),
		ExtraFiles: []*os.File{f}, Stderr: os.Stderr,
	})
	if err != nil {
		return "", fmt.Errorf("%w: %w", errTrial, err)
	}
	defer c.Close()
	select {
	case <-c.done:
		if c.exit.Failed {
			return "", fmt.Errorf("%w: %s: see its output", errTrial, c.exit.How)
		}
		return path, nil
	case <-time.After(tryTimeout):
		_ = c.Kill()
		<-c.done
		return "", fmt.Errorf("%w: it did not answer within %s: a program that embeds the keeper calls New first", errTrial, tryTimeout)
	}
}

// become executes the next build.
func (k *Keeper) become(a *attempt, path string, s *saved, client *platform.Socket) error {
	if k.attempt != a {
		return errors.New("the service fell meanwhile")
	}
	if slices.ContainsFunc(k.generations, func(g *generation) bool { return g.incoming != nil }) {
		return errors.New("a generation is in the middle of something: try again")
	}
	if err := k.save(s, client); err != nil {
		return err
	}
	f, err := s.file()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fd, err := platform.FD(f)
	if err != nil {
		return err
	}
	s.descriptors = append(s.descriptors, fd)
	for _, fd := range s.descriptors {
		if err := platform.Inherit(fd); err != nil {
			s.disinherit()
			return err
		}
	}
	k.log.Info("the keeper is replaced", "service", k.config.Name, "by", path)
	env := append(os.Environ(), stateVariable+"="+strconv.Itoa(fd))
	err = platform.Exec(path, os.Args, env)
	s.disinherit()
	return err
}

// pause and resume are the end and the beginning of hearing a generation.
func (g *generation) pause() {
	if g.Link != nil {
		g.Pause()
	}
}

func (g *generation) resume(k *Keeper) {
	if g.Link != nil && g.Paused() {
		g.Observe(k.inbox, k.done)
	}
}

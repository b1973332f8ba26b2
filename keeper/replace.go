package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/peer"
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
	if k.attempt != nil || k.state != serving {
		answer(&wire.Reply{Error: fmt.Sprintf("the keeper is not replaced: the service is %s", k.state), Code: wire.CodeBusy})
		return
	}
	k.step(onUpgrade, "of the keeper")
	a := &attempt{begun: time.Now(), answers: []func(*wire.Reply){answer}}
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
			for _, g := range generations {
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

// saved is what a keeper passes to the program that takes its place. Numbers of descriptors are valid in both.
type saved struct {
	Version     int
	Name        string
	Takeover    int
	Client      int // the link of whoever asked, or -1
	Incumbent   int // index of Generations
	Generations []savedGeneration
	Spare       []savedHolding
	Highest     int
	Attempts    uint32
	Requests    uint32
	Deaths      int
	Restarts    int
	Last        string
	Running     savedStock
	Previous    savedStock
	Started     time.Time

	descriptors []int // all that are named above
}

const savedVersion = 1

type savedGeneration struct {
	Child    bool
	Pidfd    int
	Link     int // -1: it has none
	Rest     []byte
	Number   int
	Name     wire.Build
	Standing wire.State
	Since    time.Time
	Build    savedStock
	Held     []savedHolding
}

type savedHolding struct {
	Spec wire.Listener
	FD   int
}

type savedStock struct {
	Digest, Origin, Path string
	Size                 int64
	ModTime              time.Time
	Script               bool
}

// file has it in memory.
func (s *saved) file() (*os.File, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return platform.Sealed("handover-keeper", b)
}

func (s *saved) disinherit() {
	for _, fd := range s.descriptors {
		_ = platform.Disinherit(fd)
	}
}

// inherit notes a descriptor.
func (s *saved) inherit(fd int) int {
	s.descriptors = append(s.descriptors, fd)
	return fd
}

func (s *saved) holdings(all []holding) (list []savedHolding) {
	for _, h := range all {
		list = append(list, savedHolding{h.spec, s.inherit(h.fd)})
	}
	return list
}

// save writes down what the next program must know.
func (k *Keeper) save(s *saved, client *platform.Socket) error {
	fd, err := platform.FD(k.door.listener)
	if err != nil {
		return err
	}
	s.Takeover, s.Client, s.Incumbent = s.inherit(fd), -1, -1
	if client != nil {
		if fd, err := platform.FD(client); err == nil {
			s.Client = s.inherit(fd)
		}
	}
	for i, g := range k.generations {
		if g == k.incumbent {
			s.Incumbent = i
		}
		proof, _, err := g.process.Pidfd()
		if err != nil {
			return err
		}
		saved := savedGeneration{
			Child: g.child != nil, Pidfd: s.inherit(proof), Link: -1, Number: g.number, Name: g.Build, Standing: g.standing,
			Since: g.since, Build: g.build.save(), Held: s.holdings(g.held),
		}
		if g.Link != nil {
			if fd, err = platform.FD(g.socket); err != nil {
				return err
			}
			rest, fds := g.Link.Rest()
			if len(fds) > 0 {
				return errors.New("a generation is in the middle of something: try again")
			}
			saved.Link, saved.Rest = s.inherit(fd), rest
		}
		s.Generations = append(s.Generations, saved)
	}
	s.Spare = s.holdings(k.spare)
	s.Highest, s.Attempts, s.Requests = k.highest, k.attempts, k.requests
	s.Deaths, s.Restarts, s.Last, s.Started = k.backoff.deaths, k.restarts, k.last, k.started
	s.Running, s.Previous = k.shelf.running.save(), k.shelf.previous.save()
	for _, b := range []stock{k.shelf.running, k.shelf.previous} {
		if fd, ok := b.descriptor(); ok {
			s.inherit(fd)
		}
	}
	return nil
}

func (b stock) save() savedStock {
	s := savedStock{Digest: b.Digest, Origin: b.Origin, Path: b.Path, Size: b.Size, Script: b.script}
	if b.file != nil {
		s.ModTime = b.file.ModTime()
	}
	return s
}

// descriptor is that of a build which is kept as an open file.
func (b stock) descriptor() (fd int, ok bool) {
	if !b.Held() {
		return -1, false
	}
	_, err := fmt.Sscanf(b.Path, "/proc/self/fd/%d", &fd)
	return fd, err == nil
}

// inherited reads what the program before this one knew. It returns nil where there was none. A program that is only tried ends
// here.
func inherited(config Config) (*saved, error) {
	v := os.Getenv(stateVariable)
	if v == "" {
		return nil, nil
	}
	_ = os.Unsetenv(stateVariable)
	s, err := readSaved(v, config)
	if v == tryState {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	return s, err
}

func readSaved(v string, config Config) (*saved, error) {
	fd, err := 3, error(nil)
	if v != tryState {
		if fd, err = strconv.Atoi(v); err != nil {
			return nil, fmt.Errorf("%s=%q: it is set by a keeper for its next build alone; unset it", stateVariable, v)
		}
	}
	f := os.NewFile(uintptr(fd), "keeper state")
	defer func() { _ = f.Close() }()
	s := &saved{}
	if err := json.NewDecoder(f).Decode(s); err != nil {
		return nil, fmt.Errorf("read what the keeper before this one knew: %w", err)
	}
	if s.Version != savedVersion {
		return nil, fmt.Errorf("the keeper before this one writes its state in version %d, this one reads %d: restart the keeper instead", s.Version, savedVersion)
	}
	if s.Name != config.Name {
		return nil, fmt.Errorf("the keeper before this one keeps service %q, this one %q", s.Name, config.Name)
	}
	return s, nil
}

// restore goes on with what the program before this one knew.
func (k *Keeper) restore(s *saved) error {
	for _, held := range s.Spare {
		k.spare = append(k.spare, held.take())
	}
	k.highest, k.attempts, k.requests = s.Highest, s.Attempts, s.Requests
	k.backoff.deaths, k.restarts, k.last, k.started = s.Deaths, s.Restarts, s.Last, s.Started
	k.shelf.running, k.shelf.previous = k.shelf.restore(s.Running), k.shelf.restore(s.Previous)
	for i, saved := range s.Generations {
		g, err := k.restored(saved)
		if err != nil {
			return fmt.Errorf("go on with generation %d: %w", saved.Number, err)
		}
		k.generations = append(k.generations, g)
		if i == s.Incumbent {
			k.incumbent, k.state = g, serving
		}
	}
	if s.Client >= 0 {
		if client, err := platform.NewSocket(s.Client); err == nil {
			link := peer.NewLink(client)
			_ = link.Send(0, &wire.Reply{Outcome: "final", PID: os.Getpid(), Build: k.build.String()})
			_ = link.Close()
		}
	}
	k.log.Info("the keeper goes on", "service", k.config.Name, "build", k.build.String(), "generations", len(k.generations))
	return nil
}

func (k *Keeper) restored(s savedGeneration) (*generation, error) {
	proof, err := platform.PidfdFromFD(s.Pidfd)
	if err != nil {
		return nil, err
	}
	_ = platform.Disinherit(proof.FD())
	g := &generation{
		number: s.Number, build: k.shelf.restore(s.Build), standing: s.Standing, since: s.Since, answers: make(map[uint32]func(*wire.Reply)),
	}
	if s.Child {
		g.child = k.nursery.adopt(proof, s.Standing.PID)
		g.process = g.child
	} else {
		g.process = peer.Stranger(proof)
	}
	g.Peer = &peer.Peer{Process: g.process, Build: s.Name}
	if s.Link >= 0 {
		if g.socket, err = platform.NewSocket(s.Link); err != nil {
			return nil, err
		}
		g.Link = peer.NewLink(g.socket)
		g.Link.Continue(s.Rest, nil)
	}
	for _, held := range s.Held {
		g.held = append(g.held, held.take())
	}
	return g, nil
}

// take makes the descriptor this program's, which others that it starts do not inherit.
func (s savedHolding) take() holding {
	_ = platform.Disinherit(s.FD)
	return holding{s.Spec, s.FD}
}

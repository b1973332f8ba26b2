package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

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
	Counting    bool
	Last        string
	Ended       *wire.Reply // the last handover
	Running     savedStock
	Previous    savedStock
	Started     time.Time

	descriptors []int // all that are named above
}

const savedVersion = 1

type savedGeneration struct {
	Child    bool
	Output   string
	Pidfd    int
	Link     int // -1: it has none
	Rest     []byte
	Number   int
	Name     wire.Build
	Standing wire.State
	Started  time.Time
	Since    time.Time
	Build    savedStock
	Held     []savedHolding
}

type savedHolding struct {
	Spec wire.Listener
	FD   int
}

type savedStock struct {
	Digest, Origin string
	Held           int // the open file that it is kept as, or -1
	Size           int64
	ModTime        time.Time
	Script         bool
	Dir, Label     string
	Manner         *manner // with the environment: this is never logged
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
			Output: g.output(), Started: g.started, Since: g.since, Build: g.build.save(s), Held: s.holdings(g.held),
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
	s.Deaths, s.Restarts, s.Last, s.Ended, s.Started = k.backoff.deaths, k.restarts, k.last, k.ended, k.started
	s.Counting = k.counting
	s.Running, s.Previous = k.shelf.running.save(s), k.shelf.previous.save(s)
	return nil
}

func (b stock) save(s *saved) savedStock {
	kept := savedStock{Digest: b.Digest, Origin: b.Origin, Held: -1, Size: b.Size, Script: b.script, Dir: b.dir, Label: b.label, Manner: b.manner}
	if b.file != nil {
		kept.ModTime = b.file.ModTime()
	}
	if fd, ok := b.Descriptor(); ok {
		kept.Held = s.inherit(fd)
	}
	return kept
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
	return decodeSaved(f, config.Name)
}

// decodeSaved reads what the keeper of a service has written.
func decodeSaved(from io.Reader, service string) (*saved, error) {
	s := &saved{}
	if err := json.NewDecoder(from).Decode(s); err != nil {
		return nil, fmt.Errorf("read what the keeper before this one knew: %w", err)
	}
	if s.Version != savedVersion {
		return nil, fmt.Errorf("the keeper before this one writes its state in version %d, this one reads %d: restart the keeper instead", s.Version, savedVersion)
	}
	if s.Name != service {
		return nil, fmt.Errorf("the keeper before this one keeps service %q, this one %q", s.Name, service)
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
	k.counting = s.Counting
	if s.Ended != nil { // a keeper that did not write it yet
		k.ended = s.Ended
	}
	k.shelf.running, k.shelf.previous = k.shelf.restore(s.Running), k.shelf.restore(s.Previous)
	held := map[int]bool{s.Running.Held: true, s.Previous.Held: true}
	for i, saved := range s.Generations {
		g, err := k.restored(saved)
		if err != nil {
			return fmt.Errorf("go on with generation %d: %w", saved.Number, err)
		}
		k.generations = append(k.generations, g)
		held[saved.Build.Held] = true
		if i == s.Incumbent {
			k.incumbent, k.state = g, serving
		}
	}
	for fd := range held { // what is kept has a descriptor of its own by now, which services do not inherit
		if fd >= 0 {
			_ = platform.CloseFD(fd)
		}
	}
	if s.Client >= 0 {
		if client, err := platform.NewSocket(s.Client); err == nil {
			k.client = peer.NewLink(client)
		}
	}
	return nil
}

// goOn says that this program goes on where the one before left off: whoever hears it may send signals.
func (k *Keeper) goOn() {
	if k.client != nil {
		_ = k.client.Send(0, &wire.Reply{Outcome: "final", PID: os.Getpid(), Build: k.build.String()})
		_ = k.client.Close()
	}
	k.log.Info("the keeper goes on", "service", k.config.Name, "build", k.build.String(), "generations", len(k.generations))
}

func (k *Keeper) restored(s savedGeneration) (*generation, error) {
	proof, err := platform.PidfdFromFD(s.Pidfd)
	if err != nil {
		return nil, err
	}
	_ = platform.Disinherit(proof.FD())
	g := &generation{
		number: s.Number, build: k.shelf.restore(s.Build), standing: s.Standing, started: s.Started, since: s.Since, answers: make(map[uint32]func(*wire.Reply)),
	}
	if s.Child {
		g.child = k.nursery.adopt(proof)
		g.child.output = s.Output
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

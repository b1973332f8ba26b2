//go:build linux

package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Topologies of a round: who starts a successor.
const (
	alone  = "alone"  // the incumbent
	joined = "joined" // a person, who has it join
	kept   = "kept"   // a keeper
)

// choices are all that a round of the soak does. They follow from seed and round alone.
type choices struct {
	topology  string
	probation time.Duration
	jitter    bool // between clients and service
	quiet     bool // the last upgrade is one without load
	steps     []step
}

// step is one upgrade, and what happens to it.
type step struct {
	build  string // its flaw, or "" for a good one
	strike string // one of the kinds below
	fault  fault  // of atFrame

	// Of atInstant and descriptors: whom, so long after the handover has begun, and for how long.
	victim      string // incumbent, successor or keeper
	signal      string // of atInstant: KILL or STOP
	after, hold time.Duration

	crowd uint64 // of what goes on meanwhile: the seed of its own choices
}

// Kinds of strikes.
const (
	nothing     = "nothing"
	atFrame     = "at a frame"
	atInstant   = "at an instant"
	descriptors = "no descriptors left"
	storm       = "storm of signals"
	hostile     = "hostile peers"
	starved     = "stopped again and again"
)

// withoutLoss are strikes that cost nothing, whatever the moment: what clients see is not told by ledgers then.
var withoutLoss = []string{nothing, descriptors, storm, hostile, starved}

// Flaws that a round may choose: what is taken back before its commit, and after it.
var (
	badBefore = []string{"exit", "hang", "check"}
	badAfter  = []string{"crash", "late", "failing", "deaf", "spin"}
)

// Probations of rounds: that of one with a bad build is longer than it takes to be found out.
const (
	probationOfGood = 300 * time.Millisecond
	probationOfBad  = 2500 * time.Millisecond
)

// choose makes the choices of a round.
func choose(seed uint64, round int) (c choices) {
	random := rand.New(rand.NewPCG(seed, uint64(round)))
	c = choices{
		topology:  pick(random, alone, alone, joined, kept, kept),
		probation: probationOfGood, jitter: random.IntN(5) == 0, quiet: random.IntN(3) == 0,
	}
	for range 1 + random.IntN(3) {
		c.steps = append(c.steps, chooseStep(random, c))
	}
	for _, s := range c.steps {
		// A strike may come late on a busy machine: after FINAL, nobody would start the service again that has no keeper.
		late := s.strike == atInstant && s.victim == "successor" && c.topology != kept
		if slices.Contains(badAfter, s.build) || late || s.fault.answered() {
			c.probation = probationOfBad
		}
	}
	return c
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

// upTo is a random time.
func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

func chooseStep(random *rand.Rand, c choices) (s step) {
	s.crowd = random.Uint64()
	s.strike = pick(random, nothing, atFrame, atFrame, atFrame, atInstant, atInstant, descriptors, storm, hostile, starved)
	if c.jitter {
		s.strike = pick(random, withoutLoss...)
	}
	switch random.IntN(6) {
	case 0:
		if s.build = pick(random, badBefore...); c.topology == joined && s.build == "exit" {
			s.build = "hang" // nobody learns of a process that ends before it joins
		}
	case 1:
		// A storm begins another handover as soon as one is over, and only one build of a round is made to show its flaw.
		if !c.jitter && s.strike != storm {
			s.build = pick(random, badAfter...)
		}
	}
	switch s.strike {
	case atFrame:
		s.fault = chooseFault(random, &s, c.topology)
	case atInstant:
		s.chooseInstant(random, c.topology)
	case descriptors:
		s.victim = pick(random, "incumbent", "successor")
		if c.topology == kept {
			s.victim = pick(random, "incumbent", "successor", "keeper")
		}
		s.after, s.hold = upTo(random, 2*probationOfGood), 50*time.Millisecond+upTo(random, time.Second)
	}
	return s
}

// chooseInstant has a kill meet a process whose death leaves another to serve: of the only one that can, it is the end of the service,
// unless that has a keeper.
func (s *step) chooseInstant(random *rand.Rand, topology string) {
	s.victim, s.signal = pick(random, "incumbent", "successor"), pick(random, "KILL", "STOP")
	if topology == kept {
		s.victim = pick(random, "incumbent", "successor", "keeper")
	}
	if s.signal == "KILL" && s.victim != "keeper" {
		s.build = ""
	}
	span := probationOfGood * 3 / 2
	if s.signal == "KILL" && s.victim == "successor" && topology != kept {
		span = probationOfGood / 2
	}
	s.after, s.hold = upTo(random, span), upTo(random, 300*time.Millisecond)
}

// chooseFault chooses one of the faults of the grids, and a build that makes sense with it.
func chooseFault(random *rand.Rand, s *step, topology string) fault {
	frames, ruledOut := slices.Concat(incumbentSends, successorSends, followSends), func(f fault) bool {
		return killsTheService(f) || f.effect == "KILL" && beforeListeners(f)
	}
	if topology == kept {
		frames, ruledOut = slices.Concat(frames, keeperSends), nil
	}
	if s.build == "failing" || random.IntN(5) == 0 {
		s.build, frames, ruledOut = "failing", returnSends, leavesNobody
	}
	for {
		f := fault{direction: pick(random, "send", "receive"), frame: pick(random, frames...)}
		switch f.effect = pick(random, "KILL", "STOP", "DELAY", "CORRUPT"); f.effect {
		case "DELAY":
			f.moment = (50*time.Millisecond + upTo(random, lateness)).Round(time.Millisecond).String()
		case "CORRUPT":
			f.direction, f.moment = "send", pick(random, spoilt...)
		default:
			f.moment = pick(random, moments[f.direction]...)
		}
		if f.effect == "KILL" && s.build != "failing" {
			s.build = ""
		}
		if ruledOut == nil || !ruledOut(f) {
			return f
		}
	}
}

// kills reports whether somebody may be killed in this step, and with it what it had accepted is lost.
func (s step) kills() bool {
	return s.strike == atFrame || s.signal == "KILL" || s.build == "hang" || slices.Contains(badAfter, s.build)
}

func (s step) String() string {
	build, what := "good build", s.strike
	if s.build != "" {
		build = "build that is " + s.build
	}
	switch s.strike {
	case atFrame:
		what = s.fault.String()
	case atInstant:
		what = fmt.Sprintf("%s of the %s after %s, for %s", s.signal, s.victim, s.after, s.hold)
	case descriptors:
		what = fmt.Sprintf("no descriptors left in the %s after %s, for %s", s.victim, s.after, s.hold)
	}
	return build + ", " + what
}

// kind is by what strikes are counted.
func (s step) kind() string {
	switch s.strike {
	case atFrame:
		return s.fault.effect + " at a frame"
	case atInstant:
		return s.signal + " at an instant"
	}
	return s.strike
}

func (c choices) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, probation %s, jitter %t, the last upgrade without load %t", c.topology, c.probation, c.jitter, c.quiet)
	for i, s := range c.steps {
		fmt.Fprintf(&b, "\n  %d: %s", i+1, s)
	}
	return b.String()
}

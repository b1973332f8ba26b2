package handover

import (
	"fmt"
	"strings"
)

// The model of a handover: generations that follow the tables of lifecycle.go, the links between them, and what may befall them.
// Time is not in it. A deadline may expire whenever its state has one, so that a process that is slow, or was stopped and goes
// on, is among what is explored without being named.

// world is one state of everything.
type world struct {
	generations [modelGenerations]actor
	links       [modelGenerations - 1]modelLink // that of attempt n, at n-1, has the n-th generation at its other end
	attempts    uint8
	faults      uint8 // how many may still befall it
	wishes      uint8 // how many persons may still have
	excused     bool  // nobody can be asked to serve any more
}

const modelGenerations = 3

// actor is a generation: what life has of it, as far as a transition, an action or a frame depends on it.
type actor struct {
	being     being
	state     state
	accepts   accepting
	holds     bool // the listening sockets
	greeted   bool // HELLO was sent
	offer     bool // life.offer is not nil
	heard     bool // OFFER came
	final     bool // FINAL came
	offered   bool // OFFER was sent
	checking  bool // Check is running
	importing bool // the last of the state has come
	ended     bool
	stop      bool   // kept: a wish to end
	failed    bool   // kept: a failure
	peer      uint8  // the attempt whose link is life.peer, 0: nil
	attempt   uint8  // the number of life.attempt, 0: nil
	leaving   uint8  // the attempts, as bits, behind whose links are life.drainers
	freezing  uint8  // the attempt for which accepting is being parked
	frozen    uint8  // attempts, as bits, whose freeze is through and has not been reported
	unfrozen  uint8  // the same, where it failed
	returning beside // what giveBack has begun
	probation beside // the last PING of probation
}

// being is whether a process runs.
type being uint8

const (
	unborn being = iota
	running
	stopped // by SIGSTOP
	dying   // SIGKILL was sent: it decides nothing any more, and may be in accept(2) until it is dead
	dead
)

var beingNames = [...]string{"unborn", "running", "stopped", "dying", "dead"}

// accepting is whether a generation accepts, and does background work.
type accepting uint8

const (
	shut accepting = iota
	open
	parking // it does, and is about to stop
)

var acceptingNames = [...]string{"accepts nothing", "accepts", "accepts, about to stop"}

// beside is something that takes time beside the loop.
type beside uint8

const (
	notBegun beside = iota
	begun
	done // and not reported yet
)

// modelLink is a link: two queues, of which each side reads one to its end.
type modelLink struct {
	incumbent uint8
	cut       bool
	toward    [2]frames // the incumbent, the successor
	closed    [2]bool   // the end of the one, of the other
	ended     [2]bool   // who was told of the end
}

const (
	incumbentEnd = 0
	successorEnd = 1
)

// said is a frame. Of an OFFER whose listeners have all been sent the model makes two.
type said uint8

const (
	nothing said = iota
	sayHello
	sayOffer
	sayListeners
	sayAdopted
	sayReady
	sayFreeze
	sayCarry
	sayImported
	sayCommit
	sayServing
	sayPing
	sayPong
	sayFinal
	sayAbort
	sayResume
	sayReturn
	sayReturned
	sayResumed
)

var saidNames = [...]string{
	"nothing", "HELLO", "OFFER", "LISTENERS", "ADOPTED", "READY", "FREEZE", "CARRY", "IMPORTED", "COMMIT", "SERVING", "PING", "PONG",
	"FINAL", "ABORT", "RESUME", "RETURN", "RETURNED", "RESUMED",
}

func (s said) String() string { return saidNames[s] }

// frames are those on their way in one direction.
type frames [8]said

func (q *frames) push(s said) {
	for i := range q {
		if q[i] == nothing {
			q[i] = s
			return
		}
	}
	panic(fmt.Sprintf("the model's link is too short for %v and %s", q, s))
}

func (q *frames) pop() (s said) {
	s = q[0]
	copy(q[:], q[1:])
	q[len(q)-1] = nothing
	return s
}

func (q *frames) empty() bool { return q[0] == nothing }

func (q *frames) has(s said) bool {
	for _, one := range q {
		if one == s {
			return true
		}
	}
	return false
}

func (a *actor) alive() bool { return a.being == running || a.being == stopped || a.being == dying }

// serves reports whether it accepts, or has connections handed to it by the kernel in this very moment.
func (a *actor) serves() bool { return a.alive() && a.accepts != shut }

// promising reports whether it can be expected to serve: it serves, or will once it is ready or its peer is dead.
func (w *world) promising(g int) bool {
	a := &w.generations[g]
	if !a.alive() || a.being == dying || a.state >= draining {
		return false
	}
	// An incumbent that has said ABORT or RESUMED is alone: its death afterwards is that of a service without a handover.
	for _, s := range []said{sayAbort, sayResumed} {
		if int(a.peer) == g && g > 0 && w.links[g-1].toward[successorEnd].has(s) {
			return false
		}
	}
	return true
}

// excuse notes that what befalls generation g leaves nobody who could serve.
func (w *world) excuse(g int) {
	for other := range w.generations {
		if other != g && w.promising(other) {
			return
		}
	}
	w.excused = true
}

// die is the end of a process, and of its ends of links.
func (w *world) die(g int) {
	w.generations[g] = actor{being: dead}
	for n := range w.links {
		for end := range 2 {
			if w.who(n, end) == g {
				w.shut(n, end)
			}
		}
	}
}

// who is the generation at an end of the link of attempt n+1, or -1.
func (w *world) who(n, end int) int {
	switch {
	case int(w.attempts) <= n:
		return -1
	case end == incumbentEnd:
		return int(w.links[n].incumbent)
	default:
		return n + 1
	}
}

// String tells of who lives.
func (w world) String() string {
	var all []string
	for g := range w.generations {
		if a := &w.generations[g]; a.alive() {
			all = append(all, fmt.Sprintf("%s is %s, %s, and %s", generationNames[g], beingNames[a.being], a.state, acceptingNames[a.accepts]))
		}
	}
	return strings.Join(append(all, "nobody else lives"), "; ")
}

// shut closes an end of a link: what was on its way there is lost, what comes from there is not.
func (w *world) shut(n, end int) {
	l := &w.links[n]
	l.closed[end], l.ended[end], l.toward[end] = true, false, frames{}
	if l.closed[1-end] {
		*l = modelLink{incumbent: l.incumbent, closed: [2]bool{true, true}}
	}
}

// wrong is the invariants that can be seen in a state.
func (w *world) wrong() string {
	serving, incumbents, holding := 0, 0, 0
	for g := range w.generations {
		a := &w.generations[g]
		if !a.alive() {
			continue
		}
		if a.serves() {
			serving++
		}
		if a.state >= starting && a.state < draining {
			incumbents++
		}
		// Until the offer has come, the death of the incumbent is that of a service alone: what began binds the sockets again.
		if a.holds || a.state == joining || a.state == starting || a.peer != 0 && w.links[a.peer-1].toward[successorEnd].has(sayListeners) {
			holding++
		}
	}
	switch {
	case serving > 1:
		return "I3: two generations accept"
	case incumbents > 1:
		return "I3: two generations are the incumbent"
	case holding == 0 && !w.excused:
		return "I1: nobody holds the listening sockets"
	default:
		return ""
	}
}

// unrested is I5 for every generation that serves while no handover is under way.
func (w *world) unrested() string {
	for g := range w.generations {
		a := &w.generations[g]
		if a.state == serving && (a.attempt != 0 || a.peer != 0 || a.offered || a.freezing != 0 || a.accepts != open) {
			return fmt.Sprintf("I5: %s is left in the middle of an attempt: %+v", generationNames[g], *a)
		}
	}
	return ""
}

// served reports that the service is well: someone who runs accepts.
func (w *world) served() bool {
	for g := range w.generations {
		if w.generations[g].being == running && w.generations[g].accepts == open {
			return true
		}
	}
	return w.excused
}

// inTheHandsOfAStopped reports that nobody but a stopped process can bring the service back: the incumbent, whom nobody may
// kill, or the only one there is.
func (w *world) inTheHandsOfAStopped() bool {
	hope, incumbent := false, false
	for g := range w.generations {
		a := &w.generations[g]
		hope = hope || a.being != stopped && w.promising(g)
		incumbent = incumbent || a.being == stopped && a.state >= starting && a.state < gone && a.state != draining
	}
	return incumbent || !hope
}

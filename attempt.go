package handover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/wire"
)

// attempt is one handover, as the incumbent sees it.
type attempt struct {
	number     uint32
	joined     bool  // someone else started the successor
	generation int   // its number, from COMMIT
	reason     error // the first thing that went wrong
	code       wire.Code

	started  time.Time
	ready    time.Time
	parked   time.Time
	switched time.Duration // from parked to SERVING

	offered  []*socket // in the order of OFFER
	adopted  map[*socket]bool
	freezing context.CancelFunc // ends the freeze before it is through
	frozen   chan struct{}      // closed when the freeze's goroutine has ended
	peers    delivery           // what a successor brings back that is taken back
	watch    *watch
	request  uint32 // the keeper's number for it, 0 without a keeper
	vote     vote
	command  string      // what is started, where it is not the service's own command
	waiter   func(ended) // nil once it was told, or where nobody waits
	callers  callers
}

// ended is what whoever asked for a handover is told.
type ended struct {
	result Result
	err    error
	code   wire.Code // class of err
}

// candidate is a process, started by someone else, that is to be the successor.
type candidate struct {
	peer    *peer.Peer
	greeted bool // it has said its HELLO
	deny    func(ended)
}

// refuse records why the handover cannot be, if nothing went wrong before.
func (a *attempt) refuse(code wire.Code, err error) {
	if a.reason == nil {
		a.code, a.reason = code, err
	}
}

// livesOn are the keys of the listeners that the successor adopted.
func (a *attempt) livesOn() []string {
	keys := []string{}
	for _, ln := range a.offered {
		if a.adopted[ln.base()] {
			keys = append(keys, ln.spec.Key())
		}
	}
	return keys
}

// finish tells who waits, and returns what they are told.
func (a *attempt) finish(r Result, err error) ended {
	r.Attempt = int(a.number)
	r.Total = time.Since(a.started)
	r.Switch = a.switched
	if !a.ready.IsZero() {
		r.Ready = a.ready.Sub(a.started)
	}
	e := ended{r, err, a.code}
	if tell := a.waiter; tell != nil {
		a.waiter = nil
		tell(e)
	}
	a.callers.tell(e)
	return e
}

// upgrade begins a handover, unless one is under way or none can be. c is a process that asked to be the successor, or that
// the keeper started; nil has one started. How it ends is told to waiter, in the loop of life.
func (l *life) upgrade(wish wire.Upgrade, c *candidate, waiter func(ended)) {
	refuse := func(r Result, code wire.Code, err error) {
		if c != nil {
			c.deny(ended{r, err, code})
		}
		if waiter != nil {
			waiter(ended{r, err, code})
		}
	}
	command, err := l.process.upgradable(wish)
	switch {
	case l.attempt != nil:
		n := int(l.attempt.number)
		refuse(Result{Attempt: n}, wire.CodeBusy, fmt.Errorf("%w: attempt %d, in state %s", ErrInProgress, n, l.state))
	case l.offer != nil && l.state != draining && l.state != starting:
		n := int(l.offer.attempt)
		refuse(Result{Attempt: n}, wire.CodeBusy, fmt.Errorf("%w: attempt %d, in state %s", ErrInProgress, n, l.state))
	case l.state != serving:
		refuse(Result{}, wire.CodeDenied, fmt.Errorf("%w: state %s", ErrNotReady, l.state))
	case len(l.draining()) >= l.process.config.MaxDraining:
		refuse(Result{}, wire.CodeDenied, fmt.Errorf("%w: %s; wait, end one with SIGTERM, or raise MaxDraining", ErrTooManyDraining, l.describeDrainers()))
	case c == nil && l.keeper != nil:
		l.keeper.ask(wish, waiter)
	case err != nil && c == nil:
		refuse(Result{}, wire.CodeFailed, err)
	default:
		l.attempts++
		l.attempt = &attempt{number: l.attempts, started: time.Now(), adopted: make(map[*socket]bool), command: command, waiter: waiter}
		if c != nil {
			l.attempt.joined, l.peer = c.greeted, c.peer
		}
		l.raise(onUpgrade, "")
	}
}

// draining are the generations that hold connections still.
func (l *life) draining() []*peer.Peer {
	return slices.DeleteFunc(slices.Clone(l.drainers), func(d *peer.Peer) bool { return d.Gone })
}

func (l *life) describeDrainers() string {
	var all []string
	for _, d := range l.draining() {
		all = append(all, fmt.Sprintf("generation %d (pid %d)", d.Generation, d.Process.PID()))
	}
	return strings.Join(all, ", ")
}

// aborted ends an attempt that came to nothing.
func (l *life) aborted(why string) {
	a := l.attempt
	a.refuse(wire.CodeFailed, fmt.Errorf("the successor ended before it was ready: %s", why))
	err := fmt.Errorf("%w: %w", ErrAborted, a.reason)
	l.log.Error("handover aborted: this generation serves on", "attempt", a.number, "generation", l.generation, "error", a.reason)
	l.conclude(Result{Outcome: Aborted, Generation: l.generation, PID: l.process.pid}, err)
	l.releasePeer(true)
}

// resumed ends an attempt whose successor was taken back: alive, it now gives back its connections; dead, they are lost.
func (l *life) resumed(e event, why string) {
	a := l.attempt
	l.stopWatching()
	a.refuse(wire.CodeFailed, fmt.Errorf("the successor ended after the commit: %s", why))
	r := Result{Outcome: Resumed, Generation: l.generation, PID: l.process.pid}
	if e == onDead && a.watch != nil {
		r.LostConnections = a.watch.connections
	}
	l.log.Error("successor taken back: this generation serves again", "attempt", a.number, "generation", l.generation,
		"lost_connections", r.LostConnections, "error", a.reason)
	if e != onDead && !l.send(&wire.Resumed{}) {
		// Standing by until it hears this, it would accept at this process's end, whoever serves then.
		l.kill(e, "it cannot be told that this generation serves again")
	}
	l.conclude(r, fmt.Errorf("%w: %w", ErrResumed, a.reason))
	if e != onDead {
		l.repeatResumed(l.peer, a.number)
	}
	l.releasePeer(e == onDead)
}

// repeatResumed says it again to a successor that has not said anything since: what was lost on the way would have it stand by for as long as
// this process lives, and what was half lost is found out by what comes behind it.
func (l *life) repeatResumed(to *peer.Peer, attempt uint32) {
	time.AfterFunc(answerTimeout, func() {
		l.post(func() {
			if slices.Contains(l.drainers, to) && !to.Heard {
				_ = to.Link.Send(attempt, &wire.Resumed{})
			}
		})
	})
}

// conclude tells everyone how the attempt ended.
func (l *life) conclude(r Result, err error) {
	if l.peer != nil && l.peer.Build != (wire.Build{}) {
		r.Build = l.peer.Build.String()
	}
	l.last = l.attempt.finish(r, err)
	if r.Outcome != Final {
		l.process.notifier.ready()
	}
	l.attempt = nil
}

// releasePeer lets go of a successor: a dead one for good, a living one when it has given everything back.
func (l *life) releasePeer(dead bool) {
	p := l.peer
	l.peer = nil
	switch {
	case p == nil:
	case dead:
		p.Close()
	default:
		l.drainers = append(l.drainers, p)
	}
}

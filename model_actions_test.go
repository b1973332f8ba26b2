package handover

import (
	"fmt"
	"slices"
)

// player is one generation in one step of a world: what life is while it handles one thing that happens.
type player struct {
	*world
	*handoverModel
	g       int
	raised  []event
	acted   int // actions done in this step
	last    int // after so many it dies, 0: it does not
	mistake string
}

func (p *player) self() *actor { return &p.generations[p.g] }

// link is life.peer's, and this generation's end of it.
func (p *player) link() (l *modelLink, end int) {
	n := int(p.self().peer) - 1
	return &p.links[n], p.end(n)
}

func (p *player) end(n int) int {
	if n+1 == p.g {
		return successorEnd
	}
	return incumbentEnd
}

// other is the generation behind life.peer.
func (p *player) other() int {
	n := int(p.self().peer) - 1
	return p.who(n, 1-p.end(n))
}

func (p *player) wrongly(format string, args ...any) {
	if p.mistake == "" {
		p.mistake = p.choose(fmt.Sprintf(format, args...))
	}
}

// step is life.step, with life.settle around it.
func (p *player) step(e event) {
	p.raised = append(p.raised, e)
	for len(p.raised) > 0 && p.self().being != dead {
		e := p.raised[0]
		p.raised = p.raised[1:]
		p.transition(e)
		if len(p.raised) > 0 || p.self().being == dead {
			continue
		}
		a := p.self()
		if _, ok := p.table.next(a.state, onStop); ok && a.stop {
			a.stop = false
			p.raised = append(p.raised, onStop)
		}
		if _, ok := p.table.next(a.state, onFailed); ok && a.failed {
			a.failed = false
			p.raised = append(p.raised, onFailed)
		}
	}
	if a := p.self(); a.state == gone && a.being != dead {
		*a = actor{being: a.being, state: gone} // life.leave
		for n := range p.links {
			if p.who(n, p.end(n)) == p.g {
				p.shut(n, p.end(n))
			}
		}
	}
}

func (p *player) transition(e event) {
	a := p.self()
	a.ended = a.ended || e == onStop
	t, ok := p.table.next(a.state, e)
	if !ok {
		a.stop, a.failed = a.stop || e == onStop, a.failed || e == onFailed
		return
	}
	p.taken[at{t.from, t.on}] = true
	a.state = t.to
	if t.to == asking {
		a.stop, a.failed = a.stop || e == onStop, a.failed || e == onFailed
	}
	if t.to != probation {
		a.probation = notBegun
	}
	a.importing = a.importing && t.to == frozen && e != onCarried && e != onImportFailed
	if t.to == ending || e == onCheckFailed || e == onImportFailed || e == onFailed || e == onStop {
		p.excuse(p.g) // it was wanted so, by a person or by the program itself
	}
	for _, action := range t.do {
		effects[action](p, e)
		p.check(t, action)
		if p.acted++; p.acted == p.last {
			p.excuse(p.g)
			p.die(p.g)
			return
		}
	}
}

// check is what must hold after each action, also where the same transition goes on.
func (p *player) check(t transition, a action) {
	if wrong := p.world.wrong(); wrong != "" {
		p.wrongly("%s, as %s on %s: %s", wrong, t.from, t.on, a)
	}
	if a == doAborted || a == doResumed {
		p.untouched()
	}
}

// untouched is I5: after an attempt that failed nothing is left of it but what giving back has left on its way.
func (p *player) untouched() {
	a := *p.self()
	as := actor{
		being: a.being, state: serving, accepts: open, holds: true, greeted: a.greeted, ended: a.ended, stop: a.stop, failed: a.failed,
		leaving: a.leaving, frozen: a.frozen, unfrozen: a.unfrozen, returning: a.returning,
	}
	if a != as {
		p.wrongly("I5: the incumbent is %+v, and would be %+v if there had been no handover", a, as)
	}
	if s := &p.generations[p.attempts]; s.alive() && s.state != returning {
		p.wrongly("I5: the attempt is over, and its successor is in state %s", s.state)
	}
}

// effects are what the actions do, as far as the other generation, the listening sockets or a later transition can tell.
var effects = [actions]func(p *player, e event){
	doBegin:    (*player).begin,
	doCheck:    (*player).checks,
	doReady:    says(sayReady),
	doFreeze:   (*player).freeze,
	doPrecopy:  says(sayCarry),
	doCarry:    says(sayCarry),
	doImported: says(sayImported),
	doCommit:   (*player).commit,
	doServe:    func(p *player, _ event) { p.self().accepts = open; p.send(sayServing) },
	doWatch:    func(*player, event) {},
	doOpen:     (*player).opens,
	doSucceed:  (*player).succeed,
	doThaw:     func(p *player, _ event) { p.self().freezing, p.self().accepts = 0, open },
	doAbort:    (*player).abort,
	doKill:     (*player).kill,
	doResume:   says(sayResume),
	doReturn:   says(sayReturn),
	doGiveBack: (*player).giveBack,
	doReturned: (*player).returned,
	doFollow:   func(*player, event) {},
	doReopen:   (*player).reopen,
	doOrphan:   func(*player, event) {},
	doFinal:    func(p *player, _ event) { p.send(sayFinal); p.self().attempt = 0; p.self().offered = false },
	doKeep:     func(*player, event) {},
	doEnd:      func(*player, event) {},
	doHasten:   func(*player, event) {},
	doCut:      func(*player, event) {},
	doAborted:  func(p *player, _ event) { p.conclude(true) },
	doResumed:  (*player).resumed,
	doFail:     func(*player, event) {},
}

func says(s said) func(*player, event) { return func(p *player, _ event) { p.send(s) } }

func (p *player) send(s said) bool {
	if p.self().peer == 0 {
		return false
	}
	l, end := p.link()
	if l.cut || l.closed[0] || l.closed[1] {
		return false
	}
	l.toward[1-end].push(s)
	return true
}

func (p *player) begin(event) {
	if p.self().peer == 0 {
		p.raised = append(p.raised, onDead) // it could not be started
	}
}

func (p *player) checks(event) {
	if a := p.self(); a.peer != 0 && a.state == checking {
		p.send(sayAdopted)
	}
	p.self().checking = true
}

func (p *player) freeze(event) {
	p.send(sayFreeze)
	p.self().freezing, p.self().accepts = p.self().attempt, parking
}

func (p *player) commit(event) {
	if p.self().accepts != shut {
		p.wrongly("I3: COMMIT is sent by a generation that may still accept")
	}
	p.send(sayCommit)
}

func (p *player) opens(event) {
	p.self().accepts = open
	p.incumbent()
}

func (p *player) succeed(event) { p.incumbent() }

func (p *player) incumbent() {
	a := p.self()
	before, final := a.peer, a.offer && a.final
	a.peer, a.offer, a.heard, a.final = 0, false, false, false
	a.holds = true // what it did not inherit it has bound itself
	switch {
	case before == 0:
	case final:
		a.leaving |= 1 << before
	default:
		p.shut(int(before)-1, p.end(int(before)-1))
	}
}

func (p *player) abort(e event) {
	p.self().stop = p.self().stop || p.self().attempt != 0 && e == onStop
	p.send(sayAbort)
}

func (p *player) kill(event) {
	a, victim := p.self(), p.other()
	switch {
	case a.attempt == 0 || victim <= p.g:
		p.wrongly("I3: %s is killed by one who is not the incumbent", generationNames[victim])
	case p.generations[victim].alive():
		p.generations[victim].being = dying
	}
}

func (p *player) giveBack(event) {
	a := p.self()
	a.stop, a.failed, a.returning, a.accepts = false, false, begun, parking
}

func (p *player) returned(event) {
	if p.self().accepts != shut {
		p.wrongly("I3: RETURNED is sent by a generation that may still accept")
	}
	p.send(sayReturned)
}

func (p *player) reopen(e event) {
	if a := p.self(); a.returning == begun {
		a.returning = notBegun // it was ended, and awaited
	}
	p.opens(e)
}

func (p *player) resumed(e event) {
	if e != onDead && !p.send(sayResumed) && !p.unheard {
		p.kill(e)
	}
	p.conclude(e == onDead)
}

// conclude is life.conclude and life.releasePeer.
func (p *player) conclude(dead bool) {
	a := p.self()
	if a.peer != 0 && dead {
		p.shut(int(a.peer)-1, p.end(int(a.peer)-1))
	} else {
		a.leaving |= 1 << a.peer &^ 1
	}
	a.peer, a.attempt, a.offered = 0, 0, false
}

// meanings are what frames are to a generation, if they come from its peer: who may send them, and the event.
var meanings = map[said]struct {
	from int // end of the link
	on   event
}{
	sayAdopted:  {successorEnd, onAdopted},
	sayReady:    {successorEnd, onReady},
	sayImported: {successorEnd, onImported},
	sayServing:  {successorEnd, onServing},
	sayReturn:   {successorEnd, onReturn},
	sayReturned: {successorEnd, onReturned},
	sayFreeze:   {incumbentEnd, onFreeze},
	sayCommit:   {incumbentEnd, onCommit},
	sayFinal:    {incumbentEnd, onFinal},
	sayResume:   {incumbentEnd, onResume},
	sayResumed:  {incumbentEnd, onResumed},
}

// reads is life.frame.
func (p *player) reads(s said) {
	a := p.self()
	switch s {
	case sayHello:
		if a.state != offering || a.offered {
			p.unexpected(s)
			return
		}
		a.offered = true
		p.send(sayOffer)
		p.send(sayListeners)
	case sayOffer:
		if a.state != joining || a.heard {
			p.unexpected(s)
			return
		}
		a.heard = true
	case sayListeners:
		if a.state != joining || !a.heard {
			p.unexpected(s)
			return
		}
		a.holds = true
		p.step(onOffered)
	case sayCarry:
		if !slices.Contains([]state{checking, ready, frozen}, a.state) {
			p.unexpected(s)
		} else {
			a.importing = a.state == frozen
		}
	case sayPing:
		if a.state == asking {
			p.send(sayReturn)
		} else {
			p.send(sayPong)
		}
	case sayPong:
		if a.state == probation && a.probation == begun && (p.blindFinal || p.generations[p.other()].being != dead) {
			p.step(onPassed)
		}
	case sayAbort:
		if _, ok := p.table.next(a.state, onAbort); !ok {
			p.unexpected(s)
			return
		}
		p.step(onAbort)
	default:
		p.answer(s)
	}
}

func (p *player) answer(s said) {
	a, to := p.self(), meanings[s]
	_, end := p.link()
	mine := end == incumbentEnd && a.attempt != 0 || end == successorEnd && a.offer
	if s == sayReturn && a.state == draining {
		return
	}
	if _, ok := p.table.next(a.state, to.on); !ok || !mine || end == to.from {
		p.unexpected(s)
		return
	}
	a.final = a.final || s == sayFinal
	p.step(to.on)
}

// unexpected breaks the link. Between two generations that both keep to the protocol that must not change anything.
func (p *player) unexpected(s said) {
	a := p.self()
	if t, ok := p.table.next(a.state, onEOF); ok && (t.to != t.from || len(t.do) > 0) {
		p.wrongly("the peer kept to the protocol, and its %s is unexpected in state %s", s, a.state)
	}
	p.step(onEOF)
}

package handover

import "strings"

// handoverModel is what can happen in a world. Its rules hold in the code around the tables; a mutant breaks one.
type handoverModel struct {
	table     *lives
	deadlines [states]bool
	taken     map[at]bool // rows
	most      uint8       // attempts that are begun
	keeper    bool        // starts the successors
	only      string      // what is looked for, "": everything that is wrong

	lateEnd     bool // breaks: of a process that dies, its death is told, and not the end of its link first
	lateDeath   bool // breaks: a deadline is not acted on when the peer is dead
	hastyDeath  bool // breaks: a death is told after all that was sent before
	blindFinal  bool // breaks: nothing is final to a successor that is dead
	unheard     bool // breaks: who cannot be told RESUMED is killed
	staleFreeze bool // breaks: what a freeze comes to is told to the attempt that it was for
}

// at is a row's place in the tables.
type at struct {
	from state
	on   event
}

var generationNames = [modelGenerations]string{"generation 1", "generation 2", "generation 3"}

// first is a generation that serves.
func first(b bounds) world {
	w := world{faults: b.faults, wishes: b.wishes}
	w.generations[0] = actor{being: running, state: serving, accepts: open, holds: true, greeted: true}
	return w
}

func (m *handoverModel) wrong(w world) string {
	wrong := w.wrong()
	if wrong == "" {
		wrong = w.unrested()
	}
	return m.choose(wrong)
}

// choose keeps to what is looked for.
func (m *handoverModel) choose(wrong string) string {
	if strings.Contains(wrong, m.only) {
		return wrong
	}
	return ""
}

// moves are all that can happen next.
func (m *handoverModel) moves(w world) (all []move[world]) {
	for g := range w.generations {
		a := &w.generations[g]
		if !a.alive() {
			continue
		}
		s := scheduler{model: m, world: &w, g: g, all: all}
		if a.being == running {
			s.own()
		}
		s.befalls()
		all = s.all
	}
	return all
}

// scheduler lists the moves of one generation.
type scheduler struct {
	model *handoverModel
	world *world
	g     int
	all   []move[world]
}

func (s *scheduler) actor() *actor { return &s.world.generations[s.g] }

// add lists a move, and where this generation may die, each prefix of its actions with a death behind it.
func (s *scheduler) add(does, what string, fault bool, do func(p *player)) {
	for last := 0; ; last++ {
		w := *s.world
		p := &player{world: &w, handoverModel: s.model, g: s.g, last: last}
		if last > 0 {
			w.faults--
		}
		do(p)
		if last > 0 && p.acted < last {
			return // it dies later: that is a move of its own
		}
		m := move[world]{what: happening{generationNames[s.g], does, what}, to: w, fault: fault || last > 0, wrong: p.mistake}
		if last > 0 {
			m.what.what += ", and dies within"
		}
		s.all = append(s.all, m)
		if s.world.faults == 0 {
			return
		}
	}
}

func (s *scheduler) event(e event, fault bool) {
	s.add("has", e.String(), fault, func(p *player) { p.step(e) })
}

// own are the moves that the generation makes itself.
func (s *scheduler) own() {
	a := s.actor()
	if a.state == gone {
		s.add("exits", "", false, func(p *player) { p.die(p.g) })
		return
	}
	if a.state == joining && !a.greeted {
		s.add("calls", "New", false, func(p *player) { p.self().greeted = true; p.send(sayHello) })
		return
	}
	for n := range s.world.links {
		s.hears(n)
	}
	s.waits()
	s.works()
	if a.state == serving && a.attempt == 0 && s.world.attempts < s.model.most {
		s.upgrades()
	}
}

// hears is what comes over a link, and what is told of its end.
func (s *scheduler) hears(n int) {
	end := incumbentEnd
	if n+1 == s.g {
		end = successorEnd
	}
	a, l, behind := s.actor(), &s.world.links[n], s.world.who(n, 1-end)
	mine, leaving := int(a.peer) == n+1, a.leaving&(1<<(n+1)) != 0
	if s.world.who(n, end) != s.g || l.closed[end] || !mine && !leaving {
		return
	}
	isDead := s.world.generations[behind].being == dead
	if !l.toward[end].empty() {
		s.add("reads", l.toward[end][0].String(), false, func(p *player) {
			if frame := p.links[n].toward[end].pop(); mine {
				p.reads(frame)
			}
		})
	}
	if isDead && (l.toward[end].empty() || s.model.hastyDeath) {
		s.add("is told of the death of", generationNames[behind], false, func(p *player) { p.buries(n, end) })
	}
	if l.toward[end].empty() && (l.closed[1-end] || l.cut) && !l.ended[end] && (!isDead || s.model.lateEnd) {
		s.add("is told of the end of its link to", generationNames[behind], false, func(p *player) {
			p.links[n].ended[end] = true
			if mine {
				p.step(onEOF)
			}
		})
	}
}

// buries is a report of a death.
func (p *player) buries(n, end int) {
	a := p.self()
	if int(a.peer) != n+1 {
		a.leaving &^= 1 << (n + 1)
		p.shut(n, end)
		return
	}
	switch {
	case a.state == joining && !a.heard && p.keeper:
		p.excuse(p.g) // the keeper starts a generation
		p.step(onAbort)
	default:
		p.step(onDead)
	}
	if a.being != dead && int(a.peer) == n+1 && a.state != gone {
		p.shut(n, end) // it is told once
		if a.state >= draining {
			a.peer = 0
		}
	}
}

// waits is the deadline of a state.
func (s *scheduler) waits() {
	a := s.actor()
	if !s.model.deadlines[a.state] {
		return
	}
	if a.peer != 0 && !s.model.lateDeath {
		end := incumbentEnd
		if int(a.peer) == s.g {
			end = successorEnd
		}
		if behind := s.world.who(int(a.peer)-1, 1-end); s.world.generations[behind].being == dead {
			return
		}
	}
	s.event(onDeadline, false)
}

// works is what a generation does beside the loop.
func (s *scheduler) works() {
	a := s.actor()
	switch a.state {
	case preparing:
		s.event(onRun, false)
	case starting:
		if !a.checking {
			s.event(onRun, false)
		}
	case probation:
		s.event(onUnhealthy, true)
		if a.probation == notBegun {
			s.add("sends", "its last PING", false, func(p *player) { p.self().probation = begun; p.send(sayPing) })
		}
	case draining, ending:
		s.event(onDrained, false)
	}
	if a.checking {
		s.add("has", onChecked.String(), false, func(p *player) { p.self().checking = false; p.step(onChecked) })
		s.add("has", onCheckFailed.String(), true, func(p *player) { p.self().checking = false; p.step(onCheckFailed) })
	}
	if a.importing {
		s.add("has", onCarried.String(), false, func(p *player) { p.step(onCarried) })
		s.add("has", onImportFailed.String(), true, func(p *player) {
			if p.generations[p.other()].being == dead {
				p.self().importing = false // what was to be imported is lost, and that is all
				return
			}
			p.step(onImportFailed)
		})
	}
	if a.freezing != 0 {
		s.add("has", "parked", false, func(p *player) {
			a := p.self()
			a.frozen, a.freezing, a.accepts = a.frozen|1<<a.freezing, 0, shut
		})
		s.add("cannot", "park", true, func(p *player) {
			a := p.self()
			a.unfrozen, a.freezing = a.unfrozen|1<<a.freezing, 0
		})
	}
	for n := uint8(1); n < modelGenerations; n++ {
		if a.frozen&(1<<n) != 0 {
			s.add("has", onFrozen.String(), false, func(p *player) { p.self().frozen &^= 1 << n; p.froze(n, onFrozen) })
		}
		if a.unfrozen&(1<<n) != 0 {
			s.add("has", onFreezeFailed.String(), false, func(p *player) { p.self().unfrozen &^= 1 << n; p.froze(n, onFreezeFailed) })
		}
	}
	switch a.returning {
	case begun:
		s.add("has", "stopped to accept", false, func(p *player) { p.self().returning, p.self().accepts = done, shut })
	case done:
		s.add("has", onPaused.String(), false, func(p *player) { p.self().returning = notBegun; p.step(onPaused) })
	}
}

// froze is what came of the freeze for attempt n.
func (p *player) froze(n uint8, e event) {
	if p.self().attempt == n || p.staleFreeze {
		p.step(e)
	}
}

// upgrades begins an attempt.
func (s *scheduler) upgrades() {
	begin := func(p *player) {
		p.attempts++
		n := p.attempts
		p.self().attempt = n
		p.links[n-1] = modelLink{incumbent: uint8(p.g)}
	}
	s.add("is asked to", "upgrade", true, func(p *player) {
		begin(p)
		p.self().peer = p.attempts
		p.generations[p.attempts] = actor{being: running, state: joining, offer: true, peer: p.attempts}
		p.step(onUpgrade)
	})
	if !s.model.keeper {
		s.add("is asked to", "upgrade, and cannot start a successor", true, func(p *player) {
			begin(p)
			p.step(onUpgrade)
		})
	}
}

// befalls are what happens to a generation.
func (s *scheduler) befalls() {
	a := s.actor()
	one := func(what string, fault bool, f func(p *player)) {
		w := *s.world
		p := &player{world: &w, handoverModel: s.model, g: s.g}
		f(p)
		s.all = append(s.all, move[world]{what: happening{generationNames[s.g], what, ""}, to: w, fault: fault, wrong: p.mistake})
	}
	if a.being == dying {
		one("dies", false, func(p *player) { p.die(p.g) })
	}
	if a.being == stopped {
		one("goes on", false, func(p *player) { p.self().being = running })
	}
	if s.world.faults > 0 && a.being != dying && a.state != gone {
		one("is killed", true, func(p *player) { p.faults--; p.excuse(p.g); p.die(p.g) })
		if a.being == running {
			one("is stopped", true, func(p *player) { p.faults--; p.self().being = stopped })
		}
		if n := int(a.peer) - 1; n >= 0 && !s.world.links[n].cut {
			one("loses its link", true, func(p *player) { p.faults--; p.links[n].cut = true })
		}
	}
	if s.world.wishes > 0 && a.being == running && a.state != gone {
		s.add("is", onStop.String(), true, func(p *player) { p.wishes--; p.step(onStop) })
		s.add("has", onFailed.String(), true, func(p *player) { p.wishes--; p.step(onFailed) })
	}
}

// newHandoverModel is the model of this build.
func newHandoverModel() *handoverModel {
	config, err := Config{}.withDefaults()
	if err != nil {
		panic(err)
	}
	m := &handoverModel{table: lifecycle, taken: map[at]bool{}}
	for s := range m.deadlines {
		d, _ := config.deadline(state(s))
		m.deadlines[s] = d != 0
	}
	return m
}

// check explores a model, and asks of all that it found what cannot be asked of a single state.
func (m *handoverModel) check(b bounds, limit int) *explored[world] {
	m.most = b.attempts
	x := explore(m, first(b), limit)
	if m.choose("I4") == "" {
		return x
	}
	x.stuck("I4: nobody serves, and nobody will", func(w world) bool { return w.served() },
		func(world, world) bool { return false })
	x.stuck("I4: nobody serves before a stopped process goes on",
		func(w world) bool { return w.served() || w.inTheHandsOfAStopped() }, goesOn)
	return x
}

// goesOn reports whether a stopped process went on.
func goesOn(from, to world) bool {
	for g := range from.generations {
		if from.generations[g].being == stopped && to.generations[g].being == running {
			return true
		}
	}
	return false
}

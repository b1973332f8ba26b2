package handover

import "fmt"

// state is where a generation stands in its life. A generation is first a successor (unless it is the first of its
// service), then the incumbent, then it drains.
type state uint8

const (
	// A successor's way.
	joining   state = iota // HELLO sent, the offer is coming
	preparing              // listeners are here, the program builds itself until it calls Run
	checking               // ADOPTED sent, the program checks itself
	ready                  // READY sent
	frozen                 // the incumbent freezes, the last state is coming
	proving                // committed: it accepts, and the incumbent stands by
	asking                 // it has asked to be taken back
	returning              // taken back: it stops, until the incumbent serves again

	// A first generation's way, and that of a successor whose incumbent died before it was ready.
	starting

	// The incumbent's way.
	serving    // no handover is under way
	offering   // a successor is starting, or is being offered the listeners
	awaiting   // it has adopted them and prepares
	freezing   // it is ready: accepting is parked, background work ends
	passing    // frozen, the last state is on its way
	committed  // COMMIT sent
	probation  // the successor serves
	reclaiming // RESUME sent
	fencing    // the successor is being killed after the commit
	aborting   // the successor is ending before the commit

	// The way out.
	draining // final: another generation serves, connections are finished or follow it
	ending   // told to end, and no other generation serves
	gone

	states = int(gone) + 1
)

var stateNames = [states]string{
	"joining", "preparing", "checking", "ready", "frozen", "proving", "asking", "returning", "starting", "serving",
	"offering", "awaiting", "freezing", "passing", "committed", "probation", "reclaiming", "fencing", "aborting",
	"draining", "ending", "gone",
}

func (s state) String() string { return stateNames[s] }

// event is what moves a generation on: a frame, a death, a deadline, a result of its own work, or a person's wish.
type event uint8

const (
	// Frames.
	onOffered event = iota // the whole offer, descriptors included
	onAdopted
	onReady
	onFreeze
	onImported
	onCommit
	onServing
	onFinal
	onAbort
	onResume
	onReturn
	onReturned
	onResumed

	// The peer. onDead comes only after its link was read to the end.
	onEOF
	onDead
	onDeadline

	// The generation's own work.
	onRun
	onChecked
	onCheckFailed
	onFrozen
	onFreezeFailed
	onCarried
	onImportFailed
	onPaused    // nothing is accepted or done in the background any more, to be taken back
	onPassed    // probation is over, and nothing speaks against the successor
	onUnhealthy // something does
	onFailed    // this generation cannot serve any longer
	onDrained

	// A person, or the operating system.
	onUpgrade
	onStop

	events = int(onStop) + 1
)

var eventNames = [events]string{
	"OFFER", "ADOPTED", "READY", "FREEZE", "IMPORTED", "COMMIT", "SERVING", "FINAL", "ABORT", "RESUME", "RETURN", "RETURNED",
	"RESUMED", "end of link", "peer dead", "deadline", "Run called", "check passed", "check failed", "frozen", "freeze failed",
	"state imported", "import failed", "paused", "probation passed", "unhealthy", "failed", "drained", "upgrade asked", "told to end",
}

func (e event) String() string { return eventNames[e] }

// action is what a generation does on a transition. What an action does in full stands at its method of life.
type action uint8

const (
	doBegin    action = iota // start the successor, or take the one that joined
	doCheck                  // send ADOPTED if there is an incumbent, start servers, run Check
	doReady                  // send READY
	doFreeze                 // send FREEZE, park accepting, end background work
	doPrecopy                // send the state that can go ahead
	doCarry                  // send the last difference of state
	doImported               // send IMPORTED
	doCommit                 // send COMMIT
	doServe                  // accept, begin background work, send SERVING
	doWatch                  // watch the successor through probation
	doOpen                   // accept and begin background work: the incumbent is this generation now
	doSucceed                // take what FINAL brought: number, takeover socket, draining generations
	doThaw                   // undo doFreeze
	doAbort                  // send ABORT
	doKill                   // kill the peer; its death will be an event
	doResume                 // send RESUME
	doReturn                 // send RETURN
	doGiveBack               // park accepting, end background work
	doReturned               // send RETURNED
	doFollow                 // let connections follow
	doReopen                 // undo doGiveBack: the incumbent died before it served again
	doOrphan                 // go on with what came of the offer
	doFinal                  // send FINAL, redirect draining generations, let connections follow
	doKeep                   // go on with the connections that the dead peer had not accepted
	doEnd                    // empty and close the listeners, finish what is in flight
	doHasten                 // shorten the drain deadline
	doCut                    // close what is left
	doAborted                // tell whoever asked for the handover
	doResumed                // the same
	doFail                   // end with an error

	actions = int(doFail) + 1
)

var actionNames = [actions]string{
	"begin", "check", "send READY", "freeze", "pre-copy", "carry", "send IMPORTED", "send COMMIT", "serve", "watch", "open", "succeed",
	"thaw", "send ABORT", "kill", "send RESUME", "send RETURN", "give back", "send RETURNED",
	"follow", "reopen", "orphan", "final", "keep", "end", "hasten", "cut",
	"report abort", "report resume", "fail",
}

func (a action) String() string { return actionNames[a] }

// transition is one row of a lifecycle.
type transition struct {
	from state
	on   event
	to   state
	do   []action
}

func do(a ...action) []action { return a }

// successorLife is the life of a generation until it is the incumbent. It ends before COMMIT at the first sign that the
// incumbent may serve on without it, and never after.
var successorLife = []transition{
	{joining, onOffered, preparing, nil},
	{joining, onAbort, gone, do(doFail)},
	{joining, onEOF, gone, do(doFail)},
	{joining, onDeadline, gone, do(doFail)},
	{joining, onDead, starting, do(doOrphan)},

	{preparing, onRun, checking, do(doCheck)},
	{preparing, onFailed, gone, do(doAbort, doFail)},
	{preparing, onAbort, gone, do(doFail)},
	{preparing, onEOF, gone, do(doFail)},
	{preparing, onDead, starting, nil},

	{checking, onChecked, ready, do(doReady)},
	{checking, onCheckFailed, gone, do(doAbort, doFail)},
	{checking, onFailed, gone, do(doAbort, doFail)},
	{checking, onStop, gone, do(doAbort, doFail)},
	{checking, onAbort, gone, do(doFail)},
	{checking, onEOF, gone, do(doFail)},
	{checking, onDead, starting, nil},

	{ready, onFreeze, frozen, nil},
	{ready, onFailed, gone, do(doAbort, doFail)},
	{ready, onStop, gone, do(doAbort, doFail)},
	{ready, onAbort, gone, do(doFail)},
	{ready, onEOF, gone, do(doFail)},
	{ready, onDeadline, gone, do(doFail)},
	{ready, onDead, serving, do(doOpen)},

	{frozen, onCarried, frozen, do(doImported)},
	{frozen, onImportFailed, gone, do(doAbort, doFail)},
	{frozen, onCommit, proving, do(doServe)},
	{frozen, onFailed, gone, do(doAbort, doFail)},
	{frozen, onStop, gone, do(doAbort, doFail)},
	{frozen, onAbort, gone, do(doFail)},
	{frozen, onEOF, gone, do(doFail)},
	{frozen, onDeadline, gone, do(doFail)},
	{frozen, onDead, serving, do(doOpen)},

	{proving, onFinal, serving, do(doSucceed)},
	{proving, onDead, serving, do(doSucceed)},
	{proving, onResume, returning, do(doGiveBack)},
	{proving, onFailed, asking, do(doReturn)},
	{proving, onStop, asking, do(doReturn)},
	{proving, onEOF, proving, nil},

	{asking, onResume, returning, do(doGiveBack)},
	{asking, onFinal, serving, do(doSucceed)},
	{asking, onDead, serving, do(doSucceed)},
	{asking, onEOF, asking, nil},

	{returning, onPaused, returning, do(doReturned)},
	{returning, onResumed, draining, do(doFollow)},
	{returning, onDead, serving, do(doReopen)},
	{returning, onEOF, returning, nil},

	{starting, onRun, starting, do(doCheck)},
	{starting, onChecked, serving, do(doOpen)},
	{starting, onCheckFailed, gone, do(doFail)},
	{starting, onFailed, gone, do(doFail)},
	{starting, onStop, gone, nil},
	{starting, onEOF, starting, nil},
}

// incumbentLife is the life of a generation from the moment it is the incumbent. Before COMMIT it undoes whatever it did;
// from COMMIT to FINAL it accepts again only when the successor has returned or is dead.
var incumbentLife = []transition{
	{serving, onUpgrade, offering, do(doBegin)},
	{serving, onStop, ending, do(doEnd)},
	{serving, onFailed, ending, do(doEnd)},

	{offering, onAdopted, awaiting, do(doPrecopy)},
	{offering, onAbort, aborting, do(doAbort)},
	{offering, onEOF, aborting, do(doAbort)},
	{offering, onDeadline, aborting, do(doAbort)},
	{offering, onStop, aborting, do(doAbort)},
	{offering, onDead, serving, do(doAborted)},

	{awaiting, onReady, freezing, do(doFreeze)},
	{awaiting, onAbort, aborting, do(doAbort)},
	{awaiting, onEOF, aborting, do(doAbort)},
	{awaiting, onDeadline, aborting, do(doAbort)},
	{awaiting, onStop, aborting, do(doAbort)},
	{awaiting, onDead, serving, do(doAborted)},

	{freezing, onFrozen, passing, do(doCarry)},
	{freezing, onFreezeFailed, aborting, do(doThaw, doAbort)},
	{freezing, onAbort, aborting, do(doThaw, doAbort)},
	{freezing, onEOF, aborting, do(doThaw, doAbort)},
	{freezing, onDeadline, aborting, do(doThaw, doAbort)},
	{freezing, onStop, aborting, do(doThaw, doAbort)},
	{freezing, onDead, serving, do(doThaw, doAborted)},

	{passing, onImported, committed, do(doCommit)},
	{passing, onAbort, aborting, do(doThaw, doAbort)},
	{passing, onEOF, aborting, do(doThaw, doAbort)},
	{passing, onDeadline, aborting, do(doThaw, doAbort)},
	{passing, onStop, aborting, do(doThaw, doAbort)},
	{passing, onDead, serving, do(doThaw, doAborted)},

	{aborting, onDeadline, aborting, do(doKill)},
	{aborting, onEOF, aborting, nil},
	{aborting, onAbort, aborting, nil},
	{aborting, onDead, serving, do(doAborted)},

	{committed, onServing, probation, do(doWatch)},
	{committed, onReturn, reclaiming, do(doResume)},
	{committed, onAbort, fencing, do(doKill)},
	{committed, onEOF, fencing, do(doKill)},
	{committed, onDeadline, fencing, do(doKill)},
	{committed, onDead, serving, do(doThaw, doResumed)},

	{probation, onPassed, draining, do(doFinal)},
	{probation, onStop, draining, do(doFinal)},
	{probation, onUnhealthy, reclaiming, do(doResume)},
	{probation, onReturn, reclaiming, do(doResume)},
	{probation, onEOF, fencing, do(doKill)},
	{probation, onDeadline, fencing, do(doKill)},
	{probation, onDead, serving, do(doThaw, doResumed)},

	{reclaiming, onReturned, serving, do(doThaw, doResumed)},
	{reclaiming, onReturn, reclaiming, nil}, // it crossed RESUME, which grants it
	{reclaiming, onEOF, fencing, do(doKill)},
	{reclaiming, onDeadline, fencing, do(doKill)},
	{reclaiming, onDead, serving, do(doThaw, doResumed)},

	{fencing, onDeadline, fencing, do(doKill)},
	{fencing, onEOF, fencing, nil},
	{fencing, onDead, serving, do(doThaw, doResumed)},

	{draining, onStop, draining, do(doHasten)},
	{draining, onEOF, draining, nil},
	{draining, onDead, draining, do(doKeep)},
	{draining, onDrained, gone, nil},
	{draining, onDeadline, gone, do(doCut)},

	{ending, onStop, ending, do(doHasten)},
	{ending, onDrained, gone, nil},
	{ending, onDeadline, gone, do(doCut)},
}

var lifecycle = index(successorLife, incumbentLife)

// lives are lifecycles, indexed.
type lives [states][events]*transition

func index(tables ...[]transition) *lives {
	t := &lives{}
	for _, table := range tables {
		for i := range table {
			row := &table[i]
			if t[row.from][row.on] != nil {
				panic(fmt.Sprintf("handover: two transitions from %s on %s", row.from, row.on))
			}
			t[row.from][row.on] = row
		}
	}
	return t
}

// next is the one transition function. Where a state has no row for an event, ok is false: a wish to end, or
// a failure, is then kept until a state that has one, a frame breaks the link that it came on, and anything else came too
// late to matter.
func (l *lives) next(s state, e event) (t transition, ok bool) {
	if row := l[s][e]; row != nil {
		return *row, true
	}
	return transition{}, false
}

// next is the transition of this build's generations.
func next(s state, e event) (t transition, ok bool) { return lifecycle.next(s, e) }

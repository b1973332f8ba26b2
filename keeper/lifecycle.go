package keeper

import "fmt"

// state is how the kept service is.
type state uint8

const (
	down      state = iota // no generation lives; the next start is due at a certain time
	starting               // one is being started, and the keeper is its incumbent
	serving                // one serves
	upgrading              // one serves, and a successor is on its way
	ending                 // told to end: the generations finish
	ended

	states = int(ended) + 1
)

var stateNames = [states]string{"down", "starting", "serving", "upgrading", "ending", "ended"}

func (s state) String() string { return stateNames[s] }

// event is what moves the service on.
type event uint8

const (
	onDue     event = iota // the time to start has come
	onUpgrade              // someone asked for a handover, and it can be
	onUp                   // a generation says that it is the incumbent
	onOver                 // the handover has ended, one way or the other
	onDown                 // no generation is left that serves, or that will
	onLeft                 // the service has ended of its own accord, or is given up
	onStop                 // the keeper was told to end
	onEmpty                // no process is left

	events = int(onEmpty) + 1
)

var eventNames = [events]string{"due", "upgrade asked", "up", "over", "down", "left", "told to end", "empty"}

func (e event) String() string { return eventNames[e] }

// transition is one row of the lifecycle.
type transition struct {
	from state
	on   event
	to   state
}

// lifecycle is the life of a kept service.
var lifecycle = []transition{
	{down, onDue, starting},
	{down, onStop, ending},

	{starting, onUp, serving},
	{starting, onDown, down},
	{starting, onLeft, ending},
	{starting, onStop, ending},

	{serving, onUp, serving}, // after a resume, or once more
	{serving, onUpgrade, upgrading},
	{serving, onDown, down},
	{serving, onLeft, ending},
	{serving, onStop, ending},

	{upgrading, onUp, upgrading}, // the successor's; how the handover ended, the incumbent says
	{upgrading, onOver, serving},
	{upgrading, onDown, down},
	{upgrading, onLeft, ending},
	{upgrading, onStop, ending},

	{down, onLeft, ending},
	{ending, onEmpty, ended},
}

var index = func() (t [states][events]*transition) {
	for i := range lifecycle {
		row := &lifecycle[i]
		if t[row.from][row.on] != nil {
			panic(fmt.Sprintf("keeper: two transitions from %s on %s", row.from, row.on))
		}
		t[row.from][row.on] = row
	}
	return t
}()

// next is the one transition function. An event without a row comes too late to matter.
func next(s state, e event) (to state, ok bool) {
	if row := index[s][e]; row != nil {
		return row.to, true
	}
	return s, false
}

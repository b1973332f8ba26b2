package handover

import (
	"fmt"
	"strings"
)

// explored is everything that a model can come to, in the order of its distance from the start. W is a state of the model as
// a whole.
type explored[W comparable] struct {
	model  modelled[W]
	states []W
	parent []int32
	number map[W]int32
	from   []int32 // with to, the moves that are not faults
	to     []int32
	moved  int
	broken int32     // a state in which something is wrong, or -1
	wrong  string    // there
	after  happening // the move that was itself wrong, out of broken
}

// modelled is a model: what can happen in a state, and what is wrong with one.
type modelled[W comparable] interface {
	moves(w W) []move[W]
	wrong(w W) string
}

// move is one thing that happens.
type move[W comparable] struct {
	what  happening
	to    W
	fault bool   // nobody may count on it
	wrong string // what must never be done, and was
}

// happening is a line of a trace.
type happening struct{ who, does, what string }

func (h happening) String() string { return strings.TrimSpace(h.who + " " + h.does + " " + h.what) }

// explore goes wherever the model can, breadth first, so that the first fault found is one of the nearest. It stops there.
func explore[W comparable](m modelled[W], start W, limit int) *explored[W] {
	x := &explored[W]{model: m, number: map[W]int32{start: 0}, states: []W{start}, parent: []int32{-1}, broken: -1}
	for at := int32(0); int(at) < len(x.states); at++ {
		if x.wrong = m.wrong(x.states[at]); x.wrong != "" {
			x.broken = at
			return x
		}
		for _, next := range m.moves(x.states[at]) {
			if next.wrong != "" {
				x.broken, x.wrong, x.after = at, next.wrong, next.what
				return x
			}
			x.moved++
			n, known := x.number[next.to]
			if !known {
				n = int32(len(x.states))
				if int(n) >= limit {
					panic(fmt.Sprintf("the model has more than %d states", limit))
				}
				x.number[next.to] = n
				x.states, x.parent = append(x.states, next.to), append(x.parent, at)
			}
			if !next.fault && n != at {
				x.from, x.to = append(x.from, at), append(x.to, n)
			}
		}
	}
	return x
}

// stuck looks for a state from which nothing good can come any more, if nobody but the processes themselves acts. skip names
// moves that are not to be counted on either.
func (x *explored[W]) stuck(why string, good func(W) bool, skip func(from, to W) bool) {
	if x.broken >= 0 {
		return
	}
	into := make([]int32, len(x.states)+1) // how many moves lead to each, then where its list begins
	for _, to := range x.to {
		into[to+1]++
	}
	for i := range len(x.states) {
		into[i+1] += into[i]
	}
	sources, filled := make([]int32, len(x.to)), make([]int32, len(x.states))
	for i, to := range x.to {
		sources[into[to]+filled[to]] = x.from[i]
		filled[to]++
	}
	hopeful, queue := make([]bool, len(x.states)), []int32{}
	for i, w := range x.states {
		if good(w) {
			hopeful[i] = true
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		to := queue[0]
		queue = queue[1:]
		for _, from := range sources[into[to]:into[to+1]] {
			if !hopeful[from] && !skip(x.states[from], x.states[to]) {
				hopeful[from] = true
				queue = append(queue, from)
			}
		}
	}
	for i, ok := range hopeful {
		if !ok {
			x.broken, x.wrong = int32(i), why
			return
		}
	}
}

// trace is how the model came to what is wrong, one event a line.
func (x *explored[W]) trace() string {
	var lines []string
	for at := x.broken; x.parent[at] >= 0; at = x.parent[at] {
		for _, next := range x.model.moves(x.states[x.parent[at]]) {
			if next.to == x.states[at] {
				lines = append([]string{next.what.String()}, lines...)
				break
			}
		}
	}
	if x.after != (happening{}) {
		lines = append(lines, x.after.String())
	}
	return fmt.Sprintf("%s:\n  %s\nwhere then %v", x.wrong, strings.Join(lines, "\n  "), x.states[x.broken])
}

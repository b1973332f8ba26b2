package keeper

import (
	"fmt"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/doctest"
)

func TestArchitectureDiagramIsCurrent(t *testing.T) {
	var b strings.Builder
	b.WriteString("```mermaid\nstateDiagram-v2\n")
	fmt.Fprintf(&b, "    [*] --> %s\n", down)
	for _, t := range lifecycle {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", t.from, t.to, t.on)
	}
	fmt.Fprintf(&b, "    %s --> [*]\n```\n", ended)
	doctest.Current(t, "./keeper", "../docs/architecture.md", "keeperLife", b.String())
}

func TestEveryStateCanBeReachedAndLeft(t *testing.T) {
	reached, left := map[state]bool{down: true}, map[state]bool{ended: true}
	for _, t := range lifecycle {
		if t.from != t.to {
			reached[t.to], left[t.from] = true, true
		}
	}
	for s := range state(states) {
		if !reached[s] || !left[s] {
			t.Errorf("%s: reached %t, left %t", s, reached[s], left[s])
		}
	}
}

func TestServiceIsToldToEndInEveryState(t *testing.T) {
	for s := range state(states) {
		if s == ending || s == ended {
			continue
		}
		if to, ok := next(s, onStop); !ok || to != ending {
			t.Errorf("%s: told to end, it becomes %s (%t)", s, to, ok)
		}
	}
}

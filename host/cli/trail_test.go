package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/control"
)

// onTrail shows an upgrade as it is seen step by step, and returns all that was written.
func onTrail(width int, states ...string) string {
	var out bytes.Buffer
	b := newBlock(&out, func() int { return width })
	t := &trail{w: &out, screen: b}
	began, bakeEnds := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), time.Now().Add(-time.Second)
	u := control.Upgrade{From: "1.4.0", To: "1.5.0", Began: began, BakeEnds: &bakeEnds}
	for i, s := range states {
		at := began.Add(time.Duration(i) * time.Second)
		u.State, u.Steps = s, append(u.Steps, control.Step{State: s, At: at, Detail: "\x1b]0;owned\a"})
		if i == len(states)-1 {
			u.Ended = &at
		}
		t.update(u)
		t.draw()
	}
	t.leave()
	return out.String()
}

func TestTerminalShowsEachStepOfAnUpgradeOnceWithItsTime(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	written := onTrail(100, "planned", "switching", "kept")
	want := []string{
		"     0µs  planned      ]0;owned   1.00s",
		"   1.00s  switching    ]0;owned   1.00s",
		"   2.00s  kept        1.5.0 serves, total 2.00s",
		"",
	}
	if got := lastOf(written + "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	if !strings.Contains(written, ", 0s left") || strings.Contains(written, "\x1b]") {
		t.Errorf("%q", written)
	}
	for _, line := range lastOf(onTrail(30, "planned", "switching", "aborted")) {
		if len([]rune(line)) > 29 {
			t.Errorf("%q is wider than the terminal", line)
		}
	}
}

func TestStepsWithoutDetailAreExplained(t *testing.T) {
	for _, state := range []string{"planned", "staging", "asking", "switching", "proving", "baking", "returning"} {
		if text := stepText(control.Step{State: state}); text == state || text == "" {
			t.Errorf("%s is not explained", state)
		}
	}
}

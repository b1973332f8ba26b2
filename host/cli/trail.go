package cli

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"github.com/handover-go/handover/host/control"
)

// stepPhrases are the steps of an upgrade, for people, where the agent says no more.
var stepPhrases = map[string]string{
	"planned": "asked for", "staging": "the release is fetched and verified", "asking": "hooks are asked", "switching": "the successor starts",
	"proving": "the successor serves on probation", "baking": "it serves, and is watched", "returning": "the one before is brought back",
}

func stepText(s control.Step) string { return cmp.Or(s.Detail, stepPhrases[s.State], s.State) }

// trail shows the steps of an upgrade: a line for each and, on a terminal, the one it takes now below them, redrawn. A nil one shows nothing.
type trail struct {
	w      io.Writer
	screen *block // nil: this is no terminal
	told   int    // steps that have their line
	u      control.Upgrade
	since  time.Time // of the last news, by this clock: the agent's may be another
}

// begun shows that the upgrade goes on by itself.
func (t *trail) begun(u control.Upgrade) {
	if t != nil {
		t.line(0, "begun", fmt.Sprintf("number %d, from %s to %s", u.Number, orDash(u.From), orDash(u.To)))
	}
}

// update shows the steps that are new.
func (t *trail) update(u control.Upgrade) {
	if t == nil {
		return
	}
	t.leave()
	t.u, t.since = u, time.Now()
	for ; t.told < len(u.Steps); t.told++ {
		step, last := u.Steps[t.told], t.told == len(u.Steps)-1
		switch {
		case last && u.Over():
			t.line(step.At.Sub(u.Began), step.State, endOf(u))
		case t.screen == nil:
			t.line(step.At.Sub(u.Began), step.State, stepText(step))
		case last:
			t.draw()
			return
		default:
			t.line(step.At.Sub(u.Began), step.State, stepText(step)+"  "+short(u.Steps[t.told+1].At.Sub(step.At)))
		}
	}
}

// draw draws the present step anew.
func (t *trail) draw() {
	if t == nil || t.screen == nil || t.told >= len(t.u.Steps) {
		return
	}
	step := t.u.Steps[t.told]
	text := fmt.Sprintf("%s  %.1fs", stepText(step), time.Since(t.since).Seconds())
	if t.u.BakeEnds != nil {
		text += fmt.Sprintf(", %s left", max(time.Until(*t.u.BakeEnds), 0).Truncate(time.Second))
	}
	t.screen.erase()
	t.screen.put("\x1b[1m", t.screen.startedAt.Add(step.At.Sub(t.u.Began)), step.State, text, "")
	t.screen.drawn = true
}

// leave takes the present step from the terminal.
func (t *trail) leave() {
	if t != nil && t.screen != nil {
		t.screen.erase()
		t.screen.drawn = false
	}
}

func (t *trail) line(at time.Duration, word, text string) {
	if t.screen != nil {
		t.screen.put("", t.screen.startedAt.Add(at), word, text, "\n")
		return
	}
	fmt.Fprintf(t.w, "%-8s  %-10s  %s\n", short(max(at, 0)), harmless(word), harmless(text))
}

// endOf says how an upgrade ended, for people. Why it was not kept is in its error.
func endOf(u control.Upgrade) string {
	text := cmp.Or(u.From, "the build before") + " serves"
	if u.State == "kept" {
		text = cmp.Or(u.To, "the new build") + " serves"
	}
	for _, t := range []struct {
		what string
		d    time.Duration
	}{{"ready", time.Duration(u.ReadyUs) * time.Microsecond}, {"switch", time.Duration(u.SwitchUs) * time.Microsecond}, {"total", u.Ended.Sub(u.Began)}} {
		if t.d > 0 {
			text += fmt.Sprintf(", %s %s", t.what, short(t.d))
		}
	}
	if u.Lost > 0 {
		text += ", lost " + counted(u.Lost, "connection")
	}
	return text
}

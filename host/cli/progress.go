package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/handover-go/handover/host/service"
)

// ending says how a handover ended, for people.
func ending(r service.Result) (text string) {
	switch r.Outcome {
	case "final":
		text = fmt.Sprintf("generation %d pid %d serves", r.Generation, r.PID)
		if r.Generation == 0 {
			text = fmt.Sprintf("keeper pid %d goes on as %s", r.PID, r.Build)
		}
	case "":
		return ""
	default:
		text = fmt.Sprintf("generation %d pid %d serves on", r.Generation, r.PID)
	}
	for _, t := range []struct {
		what string
		d    time.Duration
	}{{"ready", r.Ready}, {"switch", r.Switch}, {"total", r.Total}} {
		if t.d > 0 {
			text += fmt.Sprintf(", %s %s", t.what, short(t.d))
		}
	}
	if r.Lost > 0 {
		text += ", lost " + counted(r.Lost, "connection")
	}
	return text
}

// mute shows nothing.
type mute struct{}

func (mute) state(service.State)       {}
func (mute) left(int, int)             {}
func (mute) tick()                     {}
func (mute) began(uint32)              {}
func (mute) end(service.Result, error) {}

// lines shows a handover in plain lines, one for each state.
type lines struct {
	w         io.Writer
	startedAt time.Time
}

func newLines(w io.Writer, now time.Time) *lines { return &lines{w: w, startedAt: now} }

func (l *lines) line(word, text string) {
	fmt.Fprintf(l.w, "%-8s  %-10s  %s\n", short(time.Since(l.startedAt)), word, text)
}

func (l *lines) state(s service.State) {
	text := fmt.Sprintf("generation %d pid %d, %s", s.Generation, s.PID, counted(s.Connections, "connection"))
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	l.line(s.State, text)
}

func (l *lines) left(int, int) {}
func (l *lines) tick()         {}

func (l *lines) began(attempt uint32) { l.line("begun", fmt.Sprintf("attempt %d", attempt)) }

func (l *lines) end(r service.Result, _ error) {
	if text := ending(r); text != "" {
		l.line(r.Outcome, text)
	}
}

// block shows a handover on a terminal: a line for each state that is over, and below it the present one, redrawn.
type block struct {
	w         io.Writer
	width     func() int
	colour    bool
	now       func() time.Time
	startedAt time.Time

	present     service.State // of the generation that hands over
	since       time.Time
	connections int
	drawn       bool // the line below is the present state's
}

func newBlock(w io.Writer, width func() int) *block {
	_, no := os.LookupEnv("NO_COLOR")
	b := &block{w: w, width: width, colour: !no || os.Getenv("NO_COLOR") == "", now: time.Now}
	b.startedAt = b.now()
	return b
}

// state shows a state. A keeper tells those of the successor too: they stand between, and the generation that hands over keeps the
// line below.
func (b *block) state(s service.State) {
	if b.present.State != "" && s.PID != b.present.PID {
		b.erase()
		b.put("", b.now(), s.State, fmt.Sprintf("generation %d: %s", s.Generation, explain(s.State).text), "\n")
		b.draw()
		return
	}
	b.settle()
	b.present, b.since, b.connections = s, b.now(), s.Connections
	b.draw()
}

func (b *block) left(pid, connections int) {
	if pid == b.present.PID {
		b.connections = connections
		b.draw()
	}
}

func (b *block) tick() { b.draw() }

func (b *block) began(attempt uint32) {
	b.erase()
	b.put("", b.now(), "begun", fmt.Sprintf("attempt %d", attempt), "\n")
}

func (b *block) end(r service.Result, err error) {
	b.settle()
	text := ending(r)
	switch {
	case text == "":
	case err == nil:
		b.put("\x1b[32m", b.now(), r.Outcome, text, "\n")
	default:
		b.put("\x1b[31m", b.now(), r.Outcome, text, "\n")
	}
}

// settle leaves the present state's line where it is, with the time it took.
func (b *block) settle() {
	if !b.drawn {
		return
	}
	b.erase()
	text := explain(b.present.State).text + "  " + short(b.now().Sub(b.since))
	if b.present.Reason != "" {
		text += ": " + b.present.Reason
	}
	b.put("", b.since, b.present.State, text, "\n")
	b.drawn = false
}

// draw draws the present state in place of what was drawn of it.
func (b *block) draw() {
	if b.present.State == "" {
		return
	}
	b.erase()
	text := fmt.Sprintf("%s  %.1fs", explain(b.present.State).text, b.now().Sub(b.since).Seconds())
	if b.connections > 0 {
		text += ", " + counted(b.connections, "connection") + " left"
	}
	b.put("\x1b[1m", b.since, b.present.State, text, "")
	b.drawn = true
}

func (b *block) erase() {
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// put writes one line, cut to the terminal's width: one that wraps could not be redrawn.
func (b *block) put(colour string, at time.Time, word, text, end string) {
	line := []rune(harmless(fmt.Sprintf("%8s  %-10s  %s", short(at.Sub(b.startedAt)), word, text)))
	line = line[:min(len(line), max(b.width()-1, 0))]
	if colour == "" || !b.colour {
		fmt.Fprint(b.w, string(line)+end)
		return
	}
	fmt.Fprint(b.w, colour+string(line)+"\x1b[0m"+end)
}

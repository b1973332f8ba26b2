package cli

import (
	"bytes"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/service"
)

// onScreen shows a handover that fails, one second a call, and returns all that was written.
func onScreen(width int) string {
	var out bytes.Buffer
	b := newBlock(&out, func() int { return width })
	now := b.startedAt
	b.now = func() time.Time { return now }
	for _, step := range []func(){
		func() { b.state(service.State{State: "awaiting", PID: 7, Connections: 2}) },
		func() { b.tick() },
		func() { b.state(service.State{State: "probation", PID: 7, Connections: 310}) },
		func() { b.state(service.State{State: "proving", PID: 8, Generation: 4, Connections: 99}) },
		func() { b.left(8, 500); b.left(7, 1) },
		func() {
			b.end(service.Result{Outcome: "resumed", Generation: 3, PID: 7, Lost: 1, Total: 4 * time.Second}, errors.New("taken back"))
		},
	} {
		step()
		now = now.Add(time.Second)
	}
	return out.String()
}

// lastOf is what a terminal shows in the end of each line.
func lastOf(written string) []string {
	var shown []string
	for line := range strings.Lines(written) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\r\x1b[K")
		shown = append(shown, parts[len(parts)-1])
	}
	return shown
}

func TestTerminalShowsEachPhaseOnceWithItsTime(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	written := onScreen(100)
	want := []string{
		"     0µs  awaiting    the successor prepares and checks itself  2.00s",
		"   3.00s  proving     generation 4: serves on probation",
		"   2.00s  probation   the successor serves on probation  3.00s",
		"   5.00s  resumed     generation 3 pid 7 serves on, total 4.00s, lost 1 connection",
	}
	if got := lastOf(written); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	if !strings.Contains(written, "the successor serves on probation  2.0s, 1 connection left") {
		t.Errorf("connections left are not shown: %q", written)
	}
	if strings.Contains(written, "m") && regexp.MustCompile(`\x1b\[[0-9]*m`).MatchString(written) {
		t.Errorf("colours in spite of NO_COLOR: %q", written)
	}
}

func TestTerminalHasColoursUnlessTheyAreNotWanted(t *testing.T) {
	t.Setenv("NO_COLOR", "")
	if written := onScreen(100); !strings.Contains(written, "\x1b[31m") {
		t.Errorf("%q", written)
	}
}

func TestLineNeverExceedsTheTerminal(t *testing.T) {
	t.Setenv("NO_COLOR", "1")
	for _, line := range lastOf(onScreen(30)) {
		if len([]rune(line)) > 29 {
			t.Errorf("%q", line)
		}
	}
}

func TestReasonCannotSteerTheTerminal(t *testing.T) {
	var out bytes.Buffer
	b := newBlock(&out, func() int { return 200 })
	b.state(service.State{State: "aborting", Reason: "\x1b]0;owned\a"})
	b.end(service.Result{}, errors.New("aborted"))
	if strings.Contains(out.String(), "\x1b]") {
		t.Errorf("%q", out.String())
	}
}

var stateRow = regexp.MustCompile(`(?m)^\| ([a-z]+) \|`)

func TestEveryStateOfTheArchitectureHasItsPhrase(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, states, _ := strings.Cut(string(page), "<!-- states:")
	states, _, _ = strings.Cut(states, "<!-- end of states -->")
	rows := stateRow.FindAllStringSubmatch(states, -1)
	said := map[string]bool{"state": true, "down": true, "upgrading": true, "ended": true} // the heading, and a keeper's
	for _, row := range rows {
		said[row[1]] = true
		if _, ok := phrases[row[1]]; !ok && row[1] != "state" {
			t.Errorf("state %q has no phrase", row[1])
		}
	}
	for state := range phrases {
		if !said[state] {
			t.Errorf("there is no state %q", state)
		}
	}
}

func TestShortDurationsHaveThreeFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0µs", 356 * time.Microsecond: "356µs", 12345 * time.Microsecond: "12.3ms", 11400 * time.Millisecond: "11.40s", 90 * time.Second: "1m30s",
	} {
		if got := short(d); got != want {
			t.Errorf("%d is %q, want %q", d, got, want)
		}
	}
}

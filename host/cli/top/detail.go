package top

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/internal/plain"
)

// details are all that is known of a service, its upgrade step by step.
func (m Model) details(s control.Service) []string {
	var rows [][]string
	row := func(key, format string, a ...any) {
		rows = append(rows, []string{key, plain.Line(fmt.Sprintf(format, a...))})
	}
	state := s.State
	if s.Paused {
		state += ", paused"
	}
	row("service", "%s", s.Name)
	row("state", "%s", state)
	if s.Reason != "" {
		row("reason", "%s", s.Reason)
	}
	row("release", "%s", orDash(s.Release))
	if s.Generation != 0 {
		since := ""
		if s.Started != nil {
			since = ", since " + span(m.at.Sub(*s.Started))
		}
		row("generation", "%d, pid %d%s", s.Generation, s.PID, since)
	}
	for _, d := range s.Draining {
		connections := ""
		if d.Connections != nil {
			connections = fmt.Sprintf(", %d connections", *d.Connections)
		}
		row("draining", "generation %d, pid %d%s", d.Generation, d.PID, connections)
	}
	if s.InFlight != nil {
		row("requests", "%d in flight", *s.InFlight)
	}
	row("connections", "%d in all generations", s.Connections)
	row("health", "%s", s.Health)
	if k := s.Keeper; k != nil {
		row("keeper", "pid %d, %d restarts", k.PID, s.Restarts)
	}
	if u := s.Upgrade; u != nil {
		row("upgrade", "number %d, %s from %s to %s, by %s", u.Number, u.Kind, orDash(u.From), orDash(u.To), u.By)
		row("", "%s", phase(u, m.at))
		for _, step := range u.Steps {
			row("", "%8s  %-10s %s", span(step.At.Sub(u.Began)), step.State, step.Detail)
		}
		if u.Reason != "" {
			row("", "%s", u.Reason)
		}
	}
	return columns(rows)
}

// way are the steps of an upgrade that goes well.
var way = []string{"planned", "staging", "asking", "switching", "proving", "baking"}

// phase is how far an upgrade is: a mark for each step, and the time that is left of the bake time. One that is over tells how it ended.
func phase(u *control.Upgrade, now time.Time) string {
	if u == nil {
		return ""
	}
	for i, step := range way {
		if step != u.State || u.Over() {
			continue
		}
		text := strings.Repeat("■", i+1) + strings.Repeat("□", len(way)-i-1) + " " + step
		if u.BakeEnds != nil {
			text += ", " + span(u.BakeEnds.Sub(now)) + " left"
		}
		return text
	}
	return u.State
}

// columns aligns cells; all rows have as many.
func columns(rows [][]string) []string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], lipgloss.Width(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		var b strings.Builder
		for j, cell := range r {
			b.WriteString(cell)
			if j < len(r)-1 {
				b.WriteString(strings.Repeat(" ", widths[j]-lipgloss.Width(cell)+2))
			}
		}
		lines[i] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// span is a time for people, to the second, and never below zero.
func span(d time.Duration) string { return max(d, 0).Truncate(time.Second).String() }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// figure is a number that is never 0 where it is known.
func figure(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

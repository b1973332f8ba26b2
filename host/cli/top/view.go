package top

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/internal/plain"
)

var (
	bold  = lipgloss.NewStyle().Bold(true)
	faint = lipgloss.NewStyle().Faint(true)
	bad   = lipgloss.NewStyle().Foreground(lipgloss.Red)
	this  = lipgloss.NewStyle().Reverse(true)
)

// controls are colours and the like, which a log may have that was meant for a terminal of its own.
var controls = regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]`)

// leastWidth and leastHeight are the smallest terminal that something can be shown on.
const leastWidth, leastHeight = 40, 8

// View draws all of it.
func (m Model) View() tea.View {
	v := tea.NewView(m.draw())
	v.AltScreen = true
	return v
}

// draw is the screen, exactly as high as the terminal, and no line wider.
func (m Model) draw() string {
	if m.width < leastWidth || m.height < leastHeight {
		return fmt.Sprintf("make the terminal %d by %d", leastWidth, leastHeight)
	}
	body := m.height - 2 // without title and foot
	lines := []string{m.title()}
	switch {
	case m.panel == logs:
	case m.panel == detail && m.index() >= 0:
		lines = append(lines, top(m.details(m.services[m.index()]), body-4)...)
	default:
		lines = append(lines, m.list(max(body/2, 3))...)
	}
	room := m.height - 1 - len(lines)
	if m.question != nil {
		lines = append(lines, top(m.plan(), room)...)
	} else {
		lines = append(lines, m.output(room)...)
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, m.foot())
	for i, l := range lines {
		lines[i] = lipgloss.NewStyle().Inline(true).MaxWidth(m.width).Render(l)
	}
	return strings.Join(lines, "\n")
}

func (m Model) title() string {
	if m.at.IsZero() {
		return bold.Render("handover top") + "  asking the agent"
	}
	text := bold.Render("handover top") + fmt.Sprintf("  %d services  %s", len(m.services), m.at.Format(time.TimeOnly))
	if m.away != nil {
		text += "  " + bad.Render(plain.Line("as it was: "+m.away.Error()))
	}
	return text
}

// list is the services, so many lines at most, the selected one among them.
func (m Model) list(room int) []string {
	rows := [][]string{{"  NAME", "STATE", "VERSION", "GENERATION", "PID", "UPTIME", "RESTARTS", "INFLIGHT", "CONNECTIONS", "HEALTH", "PHASE"}}
	for _, s := range m.services {
		rows = append(rows, m.row(s))
	}
	lines := fitting(rows, m.width)
	head, lines := bold.Render(lines[0]), lines[1:]
	for i, s := range m.services {
		switch {
		case s.Name == m.selected:
			lines[i] = this.Render(">" + lines[i][1:])
		case s.Health == "bad" || s.State == "failed":
			lines[i] = bad.Render(lines[i])
		}
	}
	from := min(max(m.index()-(room-2), 0), max(len(lines)-(room-1), 0))
	return append([]string{head}, top(lines[from:], room-1)...)
}

// spared are the columns that a terminal too narrow for all does without, one after the other: restarts, pid, connections, uptime, version, generation.
var spared = []int{6, 4, 8, 5, 2, 3}

// fitting aligns rows, with as many columns as there is room for.
func fitting(rows [][]string, width int) []string {
	lines, without := columns(rows), map[int]bool{}
	for _, column := range spared {
		if !slices.ContainsFunc(lines, func(l string) bool { return lipgloss.Width(l) > width }) {
			break
		}
		without[column] = true
		fewer := make([][]string, len(rows))
		for i, r := range rows {
			for j, cell := range r {
				if !without[j] {
					fewer[i] = append(fewer[i], cell)
				}
			}
		}
		lines = columns(fewer)
	}
	return lines
}

func (m Model) row(s control.Service) []string {
	state, generation, uptime := s.State, figure(s.Generation), "-"
	if s.Paused {
		state += ",paused"
	}
	connections := fmt.Sprint(s.Connections)
	for _, d := range s.Draining {
		generation += fmt.Sprintf("+%d", d.Generation) // draining
		if d.Connections != nil {
			connections += fmt.Sprintf(", %d in %d", *d.Connections, d.Generation)
		}
	}
	requests := "-"
	if s.InFlight != nil {
		requests = fmt.Sprint(*s.InFlight)
	}
	if s.Started != nil {
		uptime = span(m.at.Sub(*s.Started))
	}
	cells := []string{
		"  " + s.Name, state, orDash(s.Version), generation, figure(s.PID), uptime, fmt.Sprint(s.Restarts), requests, connections, s.Health,
		phase(s.Upgrade, m.at),
	}
	for i := range cells {
		cells[i] = plain.Line(cells[i])
	}
	return cells
}

// output is the end of the log of the service that is selected.
func (m Model) output(room int) []string {
	if m.selected == "" || room < 2 {
		return nil
	}
	lines := []string{"", bold.Render("log of " + plain.Line(m.selected))}[max(3-room, 0):]
	room -= len(lines)
	switch {
	case m.logError != nil:
		return append(lines, top([]string{bad.Render(plain.Line(m.logError.Error()))}, room)...)
	case m.logOf != m.selected || m.log == "":
		return append(lines, top([]string{faint.Render("nothing yet")}, room)...)
	}
	written := strings.Split(strings.TrimRight(m.log, "\n"), "\n")
	for _, l := range written[max(len(written)-room, 0):] {
		lines = append(lines, plain.Line(strings.ReplaceAll(controls.ReplaceAllString(l, ""), "\t", "    ")))
	}
	return lines
}

// plan is what an upgrade would do, and the question.
func (m Model) plan() []string {
	p := m.question.plan
	lines := []string{"", bold.Render(plain.Line(fmt.Sprintf("upgrade %s from %s to %s", p.Service, orDash(p.From), orDash(p.To))))}
	for i, s := range p.Steps {
		lines = append(lines, plain.Line(fmt.Sprintf("%2d. %s", i+1, s)))
	}
	for _, w := range p.Warnings {
		lines = append(lines, bad.Render(plain.Line("warning: "+w)))
	}
	if p.Refused != "" {
		lines = append(lines, bad.Render(plain.Line("it would be refused: "+p.Refused)))
	}
	return lines
}

// foot is the question, or what was said last, or what the keys are for.
func (m Model) foot() string {
	switch {
	case m.question != nil && m.question.plan.Refused != "":
		return bold.Render("any key goes back")
	case m.question != nil:
		return bold.Render(plain.Line("upgrade "+m.question.service+" now?")) + "  y yes  any other key no"
	case m.notice != "":
		return plain.Line(m.notice)
	default:
		return faint.Render("↑↓ select  enter detail  l log  u upgrade  esc back  q quit")
	}
}

// top is the first lines that there is room for.
func top(lines []string, room int) []string { return lines[:min(len(lines), max(room, 0))] }

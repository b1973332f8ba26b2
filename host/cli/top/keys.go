package top

import (
	tea "charm.land/bubbletea/v2"
)

// key does what a key is for.
func (m Model) key(key string) (tea.Model, tea.Cmd) {
	m.notice = ""
	if key == "ctrl+c" {
		return m, tea.Quit
	}
	if m.question != nil {
		return m.answer(key)
	}
	switch key {
	case "q":
		return m, tea.Quit
	case "up", "k":
		return m.move(-1)
	case "down", "j":
		return m.move(+1)
	case "enter":
		m.panel = m.toggled(detail)
	case "l":
		m.panel = m.toggled(logs)
	case "esc":
		m.panel = brief
	case "u":
		if m.selected == "" {
			return m, nil
		}
		name := m.selected
		m.notice = name + ": asking what an upgrade would do"
		return m, func() tea.Msg { return m.ask.plan(name) }
	}
	return m, nil
}

// answer is the answer to the question: y and nothing else is yes.
func (m Model) answer(key string) (tea.Model, tea.Cmd) {
	q := m.question
	m.question = nil
	if key != "y" || q.plan.Refused != "" {
		return m, nil
	}
	m.notice = q.service + ": asking for the upgrade"
	return m, func() tea.Msg { return m.ask.upgrade(q.service) }
}

// move selects another service.
func (m Model) move(by int) (tea.Model, tea.Cmd) {
	i := m.index()
	if i < 0 {
		return m, nil
	}
	next := m.services[min(max(i+by, 0), len(m.services)-1)].Name
	if next == m.selected {
		return m, nil
	}
	m.selected, m.log, m.logOf = next, "", ""
	return m, m.readLog()
}

func (m Model) toggled(p panel) panel {
	if m.panel == p {
		return brief
	}
	return p
}

package top

import (
	"errors"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/handover-go/handover/host/control"
)

// interval is the time between two looks at the services, and at the log of the one that is selected.
const interval = time.Second

// questions are what the model asks. Each is answered by the message that it returns, within a time of its own.
type questions struct {
	services func() tea.Msg                         // seen
	log      func(service string, tail int) tea.Msg // wrote
	plan     func(service string) tea.Msg           // planned
	upgrade  func(service string) tea.Msg           // begun
}

// The answers.
type (
	seen struct {
		at       time.Time
		services []control.Service
		err      error
	}
	wrote struct {
		service, text string
		err           error
	}
	planned struct {
		service string
		plan    control.Plan
		err     error
	}
	begun struct {
		service string
		upgrade control.Upgrade
		err     error
	}
	again struct{} // it is time to look again
)

// panel is what is shown below the services, or in their place.
type panel uint8

const (
	brief  panel = iota // the services, and the log of the selected one below
	detail              // the selected one, and its log below
	logs                // its log alone
)

// Model is what is shown.
type Model struct {
	ask           questions
	width, height int

	at       time.Time // of the last look
	services []control.Service
	away     error // why the last look saw nothing; what was seen before is still shown

	selected string
	panel    panel
	log      string
	logOf    string
	logError error // it is not asked for again: a denial would be recorded each time

	question *planned // which is answered by y, or by anything else
	notice   string   // until the next key
}

func newModel(ask questions) Model { return Model{ask: ask, width: 80, height: 24} }

// Init looks for the first time.
func (m Model) Init() tea.Cmd { return m.ask.services }

// Update takes one message.
func (m Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		return m, m.readLog()
	case tea.KeyPressMsg:
		return m.key(msg.String())
	case again:
		return m, m.ask.services
	case seen:
		m = m.see(msg)
		return m, tea.Batch(tea.Tick(interval, func(time.Time) tea.Msg { return again{} }), m.readLog())
	case wrote:
		return m.read(msg), nil
	case planned:
		return m.consider(msg), nil
	case begun:
		m.notice = msg.service + ": an upgrade has begun, number " + figure(int(msg.upgrade.Number))
		if msg.err != nil {
			m.notice = msg.service + ": " + msg.err.Error()
		}
		return m, nil
	}
	return m, nil
}

// see takes in how the services are. One is always selected, the same one as before if it is still there.
func (m Model) see(s seen) Model {
	m.at, m.away = s.at, s.err
	if s.err != nil {
		return m
	}
	m.services = s.services
	if m.index() < 0 {
		m.selected = ""
		if len(m.services) > 0 {
			m.selected = m.services[0].Name
		}
	}
	return m
}

func (m Model) read(w wrote) Model {
	switch {
	case errors.Is(w.err, control.ErrDenied):
		m.logError = w.err
	case w.err == nil && w.service == m.selected:
		m.log, m.logOf = w.text, w.service
	}
	return m
}

// consider asks whether what is planned is to be done, unless it cannot be or was asked about something else.
func (m Model) consider(p planned) Model {
	switch {
	case p.err != nil:
		m.notice = p.service + ": " + p.err.Error()
	case p.service == m.selected:
		m.question, m.notice = &p, ""
	}
	return m
}

// readLog asks for as much of the log as there is room for.
func (m Model) readLog() tea.Cmd {
	name, tail := m.selected, max(m.height, 1)
	if name == "" || m.logError != nil {
		return nil
	}
	return func() tea.Msg { return m.ask.log(name, tail) }
}

// index of the service that is selected; -1 if there is none.
func (m Model) index() int {
	return slices.IndexFunc(m.services, func(s control.Service) bool { return s.Name == m.selected })
}

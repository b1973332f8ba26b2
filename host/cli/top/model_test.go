package top

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/handover-go/handover/host/control"
)

var update = flag.Bool("update", false, "write the golden views anew")

var now = time.Date(2026, 11, 22, 10, 1, 0, 0, time.UTC)

// host is three services: one that runs, one in its bake time, one that is stopped.
func host() []control.Service {
	began, bakeEnds, started := now.Add(-time.Minute), now.Add(4*time.Minute+30*time.Second), now.Add(-24*time.Hour)
	var steps []control.Step
	for i, s := range way {
		steps = append(steps, control.Step{State: s, At: began.Add(time.Duration(i) * time.Second), Detail: "step " + s})
	}
	return []control.Service{
		{
			Name: "shop", State: "running", Version: "1.4.0", Release: "1.4.0-aaaaaaaaaaaa", Generation: 3, PID: 4204101, Started: &started, Restarts: 1,
			Connections: 310, Health: "good", Keeper: &control.Process{PID: 4204000},
		},
		{
			Name: "chat", State: "baking", Paused: true, Version: "2.1.0", Release: "2.1.0-cccccccccccc", Generation: 8, PID: 4204208, Started: &began,
			Connections: 12, Health: "bad", Reason: "check http: 503\x1b[2J", Draining: []control.Generation{{Generation: 7, PID: 4204207, Connections: new(5)}}, InFlight: new(int64(2)),
			Upgrade: &control.Upgrade{
				Number: 5, Kind: "upgrade", From: "2.0.0-bbbbbbbbbbbb", To: "2.1.0-cccccccccccc", By: "uid:0 (admin)", Began: began, State: "baking",
				BakeEnds: &bakeEnds, Steps: steps,
			},
		},
		{Name: "queue", State: "stopped", Health: "unknown"},
	}
}

// play is a model that was told of some messages, and every question that it has asked.
type play struct {
	Model
	asked []string
	quits bool
}

func begin(width, height int, msgs ...tea.Msg) *play {
	p := &play{}
	say := func(format string, args ...any) tea.Msg {
		p.asked = append(p.asked, fmt.Sprintf(format, args...))
		return nil
	}
	p.Model = newModel(questions{
		services: func() tea.Msg { return say("services") },
		log:      func(service string, tail int) tea.Msg { return say("log of %s", service) },
		plan:     func(service string) tea.Msg { return say("plan %s", service) },
		upgrade:  func(service string) tea.Msg { return say("upgrade %s", service) },
	})
	return p.told(append([]tea.Msg{tea.WindowSizeMsg{Width: width, Height: height}}, msgs...)...)
}

// told tells messages one by one, and asks what the model wants to ask at once.
func (p *play) told(msgs ...tea.Msg) *play {
	for _, msg := range msgs {
		next, cmd := p.Update(msg)
		p.Model = next.(Model)
		if _, timed := msg.(seen); cmd == nil || timed {
			continue // after a look it asks again in a second, which is no part of the model
		}
		if _, ok := cmd().(tea.QuitMsg); ok {
			p.quits = true
		}
	}
	return p
}

// press presses keys, each named as it is written.
func (p *play) press(keys ...string) *play {
	special := map[string]rune{"up": tea.KeyUp, "down": tea.KeyDown, "enter": tea.KeyEnter, "esc": tea.KeyEscape}
	for _, k := range keys {
		if code, ok := special[k]; ok {
			p.told(tea.KeyPressMsg{Code: code})
			continue
		}
		if letter, ok := strings.CutPrefix(k, "ctrl+"); ok {
			p.told(tea.KeyPressMsg{Code: rune(letter[0]), Mod: tea.ModCtrl})
			continue
		}
		p.told(tea.KeyPressMsg{Code: rune(k[0]), Text: k})
	}
	return p
}

var styles = regexp.MustCompile(`\x1b\[[0-9;]*m`)

// screen is what is shown, without its colours.
func (p *play) screen() string { return styles.ReplaceAllString(p.View().Content, "") }

var look = seen{at: now, services: host()}

const log = "GET / 200\n\x1b[31mPOST /cart 500\x1b[0m\n"

func TestViewsAreAsTheyWere(t *testing.T) {
	plan := planned{service: "chat", plan: control.Plan{
		Service: "chat", From: "2.1.0-cccccccccccc", To: "2.2.0-dddddddddddd", Steps: []string{"fetch, verify and lay it down", "start it beside the generation that serves"},
		Warnings: []string{"the release expires in 3 days"},
	}}
	refused := planned{service: "chat", plan: control.Plan{Service: "chat", Refused: "busy: number 5, baking"}}
	for name, p := range map[string]*play{
		"asking":  begin(100, 10),
		"brief":   begin(120, 14, look, wrote{service: "shop", text: log}),
		"detail":  begin(100, 24, look).press("down", "enter").told(wrote{service: "chat", text: log}),
		"log":     begin(60, 10, look, wrote{service: "shop", text: log}).press("l"),
		"plan":    begin(100, 16, look).press("j", "u").told(plan),
		"refused": begin(100, 16, look).press("j", "u").told(refused),
		"away":    begin(100, 10, look, seen{at: now.Add(time.Second), err: control.ErrNoAgent}),
		"denied":  begin(100, 10, look, wrote{service: "shop", err: fmt.Errorf("%w: takes the role operator", control.ErrDenied)}),
		"none":    begin(100, 10, seen{at: now}),
		"small":   begin(30, 5, look),
		"many":    begin(100, 10, seen{at: now, services: many(20)}).press("down", "down", "down", "down", "down", "down"),
	} {
		t.Run(name, func(t *testing.T) {
			golden, got := filepath.Join("testdata", name+".golden"), p.screen()+"\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("shown:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func many(n int) []control.Service {
	var all []control.Service
	for i := range n {
		all = append(all, control.Service{Name: fmt.Sprintf("shop%02d", i), State: "running", Health: "good"})
	}
	return all
}

func TestScreenIsNeverLargerThanTheTerminalNorSteeredByText(t *testing.T) {
	for _, size := range [][2]int{{40, 8}, {41, 9}, {80, 24}, {200, 60}, {10, 3}} {
		for _, keys := range [][]string{nil, {"enter"}, {"l"}, {"down", "enter"}, {"u"}} {
			p := begin(size[0], size[1], look, wrote{service: "shop", text: strings.Repeat("ü", 300) + "\x1b]0;owned\a\n\x1b[2J\n"}).press(keys...)
			p.told(planned{service: "shop", plan: control.Plan{Service: "shop", Steps: make([]string, 100)}})
			lines := strings.Split(p.screen(), "\n")
			if len(lines) > size[1] {
				t.Errorf("%v after %q: %d lines", size, keys, len(lines))
			}
			for _, l := range lines {
				if size[0] >= leastWidth && lipgloss.Width(l) > size[0] || strings.ContainsAny(l, "\x1b\a") {
					t.Errorf("%v after %q: %q", size, keys, l)
				}
			}
		}
	}
}

func TestUpgradeBeginsOnlyAfterYes(t *testing.T) {
	plan := planned{service: "shop", plan: control.Plan{Service: "shop"}}
	for _, c := range []struct {
		play *play
		want string
	}{
		{begin(80, 24, look).press("u").told(plan).press("y"), "plan shop, upgrade shop"},
		{begin(80, 24, look).press("u").told(plan).press("n"), "plan shop"},
		{begin(80, 24, look).press("u").told(plan).press("q"), "plan shop"},
		{begin(80, 24, look).press("u").told(plan).press("enter", "y"), "plan shop"},
		{begin(80, 24, look).press("y"), ""},
		{begin(80, 24, look).press("u").told(planned{service: "shop", plan: control.Plan{Refused: "no"}}).press("y"), "plan shop"},
		{begin(80, 24, look).press("u").told(planned{service: "shop", err: errors.New("no")}).press("y"), "plan shop"},
		{begin(80, 24, look).press("u", "down").told(plan).press("y"), "plan shop, log of chat"},
		{begin(80, 24).press("u"), ""},
	} {
		if got := strings.Join(c.play.asked, ", "); got != c.want || c.play.quits {
			t.Errorf("asked %q, want %q, quits %t", got, c.want, c.play.quits)
		}
	}
	p := begin(80, 24, look).press("u").told(plan).press("y").told(begun{service: "shop", upgrade: control.Upgrade{Number: 12}})
	if !strings.Contains(p.screen(), "shop: an upgrade has begun, number 12") {
		t.Error(p.screen())
	}
}

func TestSelectionStaysWithItsServiceWhenOthersComeAndGo(t *testing.T) {
	p := begin(80, 24, look).press("down")
	p.told(seen{at: now, services: host()[1:]})
	if p.selected != "chat" {
		t.Errorf("selected %q", p.selected)
	}
	p.told(seen{at: now, services: host()[:1]})
	if p.selected != "shop" {
		t.Errorf("selected %q after its service has gone", p.selected)
	}
	p.told(wrote{service: "chat", text: "late"})
	if strings.Contains(p.screen(), "late") {
		t.Error("the log of another service is shown")
	}
	if p.press("up", "up").selected != "shop" || p.press("down", "down", "down").selected != "shop" {
		t.Errorf("selected %q beyond the ends", p.selected)
	}
}

func TestLogThatIsDeniedIsNotAskedForAgain(t *testing.T) {
	p := begin(80, 24, look, wrote{service: "shop", err: control.ErrDenied})
	p.press("down").told(tea.WindowSizeMsg{Width: 90, Height: 30})
	if len(p.asked) > 0 {
		t.Errorf("asked %q", p.asked)
	}
}

func TestQuits(t *testing.T) {
	plan := planned{service: "shop"}
	for name, p := range map[string]*play{
		"q": begin(80, 24, look).press("q"), "ctrl+c": begin(80, 24).press("ctrl+c"), "ctrl+c at a question": begin(80, 24, look, plan).press("ctrl+c"),
	} {
		if !p.quits {
			t.Errorf("%s does not quit", name)
		}
	}
}

func TestReturningAndEndedUpgradesTellTheirState(t *testing.T) {
	for state, over := range map[string]bool{"returning": false, "returned": true, "kept": true} {
		u := control.Upgrade{State: state}
		if over {
			u.Ended = &now
		}
		if got := phase(&u, now); got != state {
			t.Errorf("%s: %q", state, got)
		}
	}
}

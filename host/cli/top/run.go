package top

import (
	"context"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/handover-go/handover/host/control"
)

// patience is how long the agent may take to answer a look, and planning how long it may take to answer what an upgrade would do.
const (
	patience = 5 * time.Second
	planning = 2 * time.Minute
)

// Run shows the services of an agent until the user quits or ctx ends, and leaves the terminal as it was. Signals are the caller's: it ends ctx.
func Run(ctx context.Context, client *control.Client, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // and with it what is still asked
	p := tea.NewProgram(newModel(questionsTo(ctx, client)), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler())
	// By tea.WithContext it would be killed, and not wait for who reads the terminal.
	stop := context.AfterFunc(ctx, p.Quit)
	defer stop()
	if _, err := p.Run(); err != nil {
		return fmt.Errorf("show services: %w", err)
	}
	return nil
}

// questionsTo puts the questions of a model to an agent.
func questionsTo(ctx context.Context, client *control.Client) questions {
	return questions{
		services: func() tea.Msg {
			within, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			all, err := client.Services(within)
			return seen{time.Now(), all, err}
		},
		log: func(service string, tail int) tea.Msg {
			within, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			text, err := tailOf(within, client, service, tail)
			return wrote{service, text, err}
		},
		plan: func(service string) tea.Msg {
			within, cancel := context.WithTimeout(ctx, planning)
			defer cancel()
			p, err := client.Plan(within, service, control.UpgradeRequest{})
			return planned{service, p, err}
		},
		upgrade: func(service string) tea.Msg {
			within, cancel := context.WithTimeout(ctx, planning)
			defer cancel()
			u, err := client.Upgrade(within, service, control.UpgradeRequest{})
			return begun{service, u, err}
		},
	}
}

// maxLog is more than a screen has room for.
const maxLog = 1 << 20

func tailOf(ctx context.Context, client *control.Client, service string, tail int) (string, error) {
	r, err := client.Logs(ctx, service, tail, false)
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, maxLog))
	return string(text), err
}

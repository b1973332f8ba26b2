package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

// wish is a command that asks the agent to do one thing to a service, and shows what it answers.
type wish[A any] struct {
	name, usage, description string
	flags                    []cli.Flag
	ask                      func(ctx context.Context, client *control.Client, name string, c *cli.Command) (A, error)
	say                      func(io.Writer, A) error
}

func (w wish[A]) command(a *app) *cli.Command {
	return &cli.Command{
		Name: w.name, ArgsUsage: "[NAME]", Usage: w.usage, Description: w.description, Flags: append(w.flags, outputFlag("text")), ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			client, name, err := ofAgent(ctx, c)
			if err != nil {
				return err
			}
			defer client.Close()
			within, cancel := context.WithTimeout(ctx, actionTimeout)
			defer cancel()
			answer, err := w.ask(within, client, name, c)
			if err != nil {
				return fmt.Errorf("%s service %q: %w", w.name, name, err)
			}
			if asJSON(c) {
				return writeJSON(a.stdout, answer)
			}
			return w.say(a.stdout, answer)
		},
	}
}

// reasonFlag is for those who look later.
func reasonFlag() cli.Flag {
	return &cli.StringFlag{Name: "reason", Usage: "`WHY`, for those who look later"}
}

func sayService(w io.Writer, s control.Service) error {
	_, err := fmt.Fprintf(w, "%s: %s\n", harmless(s.Name), stateOf(s))
	return err
}

func sayUpgrade(w io.Writer, u control.Upgrade) error {
	_, err := fmt.Fprintf(w, "%s: %s\n", harmless(u.Service), harmless(upgradeText(u, time.Now())))
	return err
}

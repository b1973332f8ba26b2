package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) agentReload() *cli.Command {
	return &cli.Command{
		Name: "reload", Usage: "have the agent read its configuration again",
		Description: "A file with a fault is refused whole, and what runs is left as it is. What a change needs is in docs/agent-configuration.md; what waits for it is said.",
		Flags:       []cli.Flag{outputFlag("text")},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			client, err := anAgent(c)
			if err != nil {
				return err
			}
			defer client.Close()
			within, cancel := context.WithTimeout(ctx, actionTimeout)
			defer cancel()
			r, err := client.Reload(within)
			if errors.Is(err, control.ErrInvalid) {
				err = failure{error: err, next: `mend the file; "handover agent check" tells when it is right`}
			}
			if err != nil {
				return fmt.Errorf("reload the agent: %w", err)
			}
			if asJSON(c) {
				return writeJSON(a.stdout, r)
			}
			return a.writeReload(r)
		},
	}
}

func (a *app) writeReload(r control.Reload) error {
	said := false
	for _, l := range []struct {
		what  string
		names []string
	}{{"added", r.Added}, {"removed", r.Removed}, {"changed", r.Changed}} {
		if len(l.names) > 0 {
			said = true
			fmt.Fprintf(a.stdout, "%-7s  %s\n", l.what, strings.Join(l.names, ", "))
		}
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(a.stderr, "handover: warning: %s\n", harmless(w))
	}
	if said {
		return nil
	}
	_, err := fmt.Fprintln(a.stdout, "no service has changed")
	return err
}

package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) history() *cli.Command {
	return &cli.Command{
		Name: "history", ArgsUsage: "[NAME]", Usage: "show the upgrades of a service, the newest first",
		Description: "With -o json each has its steps, and the evidence that its verdict stands on.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "limit", Value: 20, Usage: "how many at most, from 1 to 1000"}, outputFlag("table"),
		},
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			if n := c.Int("limit"); n < 1 || n > 1000 {
				return wrongUse("history: --limit %d: give 1 to 1000", n)
			}
			client, name, err := ofAgent(ctx, c)
			if err != nil {
				return err
			}
			defer client.Close()
			within, cancel := context.WithTimeout(ctx, questionTimeout)
			defer cancel()
			all, err := client.History(within, name, c.Int("limit"))
			if err != nil {
				return fmt.Errorf("ask for the history of service %q: %w", name, err)
			}
			if asJSON(c) {
				return writeJSON(a.stdout, all)
			}
			return writeHistory(a.stdout, all)
		},
	}
}

func writeHistory(w io.Writer, all []control.Upgrade) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tKIND\tFROM\tTO\tBY\tBEGAN\tTOOK\tSTATE\tREASON")
	for _, u := range all {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", u.Number, harmless(u.Kind), orDash(harmless(u.From)), orDash(harmless(u.To)), harmless(u.By),
			u.Began.Format(time.RFC3339), took(u), harmless(u.State), orDash(harmless(u.Reason)))
	}
	return t.Flush()
}

// took is how long an upgrade was under way; a dash while it is.
func took(u control.Upgrade) string {
	if u.Ended == nil {
		return "-"
	}
	return short(u.Ended.Sub(u.Began))
}

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) plan() *cli.Command {
	return &cli.Command{
		Name: "plan", ArgsUsage: "[NAME]", Usage: "say what an upgrade would do, and do nothing",
		Description:   "Takes what upgrade takes. Exit code 10 means that the upgrade would be refused.",
		Flags:         append(requestFlags(), outputFlag("table")),
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			r, err := requestOf(c)
			if err != nil {
				return err
			}
			client, name, err := ofAgent(ctx, c)
			if err != nil {
				return err
			}
			defer client.Close()
			within, cancel := context.WithTimeout(ctx, actionTimeout)
			defer cancel()
			p, err := client.Plan(within, name, r)
			if err != nil {
				return fmt.Errorf("plan an upgrade of service %q: %w", name, err)
			}
			if asJSON(c) {
				err = writeJSON(a.stdout, p)
			} else {
				err = writePlan(a.stdout, p)
			}
			if err == nil && p.Refused != "" {
				err = failure{error: errors.New("it would be refused: " + harmless(p.Refused)), next: "nothing was done; mend that, and ask again", code: exitVerification}
			}
			return err
		},
	}
}

func writePlan(w io.Writer, p control.Plan) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "service\t%s\n", harmless(p.Service))
	fmt.Fprintf(t, "from\t%s\n", orDash(harmless(p.From)))
	fmt.Fprintf(t, "to\t%s\n", orDash(harmless(p.To)))
	for i, step := range p.Steps {
		fmt.Fprintf(t, "%s\t%d. %s\n", first(i, "steps"), i+1, harmless(step))
	}
	for i, warning := range p.Warnings {
		fmt.Fprintf(t, "%s\t%s\n", first(i, "warnings"), harmless(warning))
	}
	return t.Flush()
}

package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"
)

func (a *app) agentStatus() *cli.Command {
	return &cli.Command{
		Name: "status", Usage: "say how the agent is, and which role you have there", Flags: []cli.Flag{outputFlag("table")},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			client, err := anAgent(c)
			if err != nil {
				return err
			}
			defer client.Close()
			within, cancel := context.WithTimeout(ctx, questionTimeout)
			defer cancel()
			found, err := client.Agent(within)
			if err != nil {
				return fmt.Errorf("ask the agent how it is: %w", err)
			}
			if asJSON(c) {
				return writeJSON(a.stdout, found)
			}
			t := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintf(t, "agent\tpid %d, since %s\n", found.PID, found.Started.Format(time.RFC3339))
			fmt.Fprintf(t, "version\t%s\n", found.Version)
			fmt.Fprintf(t, "configuration\t%s, read %s\n", found.Config, found.Loaded.Format(time.RFC3339))
			fmt.Fprintf(t, "services\t%d\n", found.Services)
			fmt.Fprintf(t, "your role\t%s\n", found.Role)
			return t.Flush()
		},
	}
}

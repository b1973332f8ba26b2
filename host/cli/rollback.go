package cli

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/service"
)

func (a *app) rollback() *cli.Command {
	return &cli.Command{
		Name: "rollback", ArgsUsage: "[NAME]", Usage: "replace the running build of a service by the one before",
		Description: "A handover like any other, to the build that served before this one. The service or its keeper has kept it, whatever lies " +
			"at its path by now. Where an agent keeps the service it goes to the release before, or to that of --to.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "to", Usage: "`ID` of a release that the host has, its version, or so much of it that it is the only one; takes an agent"},
		}, handoverFlags()...),
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			to := c.String("to")
			if c.IsSet("to") && to == "" {
				return wrongUse("--to is empty: give a release, or leave it out for the one before")
			}
			client, name, err := a.keptBy(ctx, c)
			switch {
			case err != nil:
				return err
			case client == nil && to != "":
				return fmt.Errorf("go back to a release: %w that keeps the service", control.ErrNoAgent)
			case client == nil:
				return a.hand(ctx, c, service.Request{Rollback: true})
			}
			defer client.Close()
			return a.through(ctx, c, client, func(ctx context.Context) (control.Upgrade, error) {
				u, err := client.Rollback(ctx, name, control.RollbackRequest{To: to})
				if err != nil {
					err = fmt.Errorf("roll service %q back: %w", name, err)
				}
				return u, err
			})
		},
	}
}

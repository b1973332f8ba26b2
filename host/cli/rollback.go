package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) rollback() *cli.Command {
	return &cli.Command{
		Name: "rollback", ArgsUsage: "[NAME]", Usage: "replace the running build of a service by the one before",
		Description: "A handover like any other, to the build that served before this one. The service or its keeper has kept it, whatever lies " +
			"at its path by now.",
		Flags:         handoverFlags(),
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			return a.hand(ctx, c, control.Request{Rollback: true})
		},
	}
}

package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) pause() *cli.Command {
	return wish[control.Service]{
		name: "pause", usage: "let no upgrade of a service begin, and hold the one under way",
		description: `One under way stays on probation or in its bake time, and is taken back all the same if it disappoints. "handover resume" lets it go on, and others begin.`,
		flags:       []cli.Flag{reasonFlag()},
		ask: func(ctx context.Context, client *control.Client, name string, c *cli.Command) (control.Service, error) {
			return client.Pause(ctx, name, c.String("reason"))
		},
		say: sayService,
	}.command(a)
}

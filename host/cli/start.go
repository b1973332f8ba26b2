package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) start() *cli.Command {
	return wish[control.Service]{
		name: "start", usage: "start a service that the agent keeps, and was stopped or has failed",
		ask: func(ctx context.Context, client *control.Client, name string, _ *cli.Command) (control.Service, error) {
			return client.Start(ctx, name)
		},
		say: sayService,
	}.command(a)
}

package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) resume() *cli.Command {
	return wish[control.Service]{
		name: "resume", usage: "undo a pause: upgrades go on, and begin",
		ask: func(ctx context.Context, client *control.Client, name string, _ *cli.Command) (control.Service, error) {
			return client.Resume(ctx, name)
		},
		say: sayService,
	}.command(a)
}

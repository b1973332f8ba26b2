package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) promote() *cli.Command {
	return wish[control.Upgrade]{
		name: "promote", usage: "keep the new build now: its probation and its bake time have gone well",
		description: "What the checks have not found by now is not looked for any more. The build before can be had again by rollback.",
		ask: func(ctx context.Context, client *control.Client, name string, _ *cli.Command) (control.Upgrade, error) {
			return client.Promote(ctx, name)
		},
		say: sayUpgrade,
	}.command(a)
}

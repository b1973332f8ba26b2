package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) abort() *cli.Command {
	return wish[control.Upgrade]{
		name: "abort", usage: "take back the upgrade under way",
		description: "While its release is being fetched, or hooks are asked, it ends there. Before the handover is final the build before serves again at once; in the " +
			"bake time it comes back by a handover. None of it loses anything.",
		flags: []cli.Flag{reasonFlag()},
		ask: func(ctx context.Context, client *control.Client, name string, c *cli.Command) (control.Upgrade, error) {
			return client.Abort(ctx, name, c.String("reason"))
		},
		say: sayUpgrade,
	}.command(a)
}

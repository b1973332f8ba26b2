package cli

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/cli/top"
)

func (a *app) top() *cli.Command {
	return &cli.Command{
		Name: "top", Usage: "watch all services, their upgrades and their logs on the whole terminal",
		Description: "The arrows select a service, enter shows all that is known of it and l its log, u says what an upgrade would do and asks whether to begin it, q quits.",
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			if _, ok := terminal(a.stdout); !ok {
				return wrongUse(`top needs a terminal; elsewhere use "handover status --watch"`)
			}
			client, err := anAgent(c)
			if err != nil {
				return err
			}
			defer client.Close()
			return top.Run(ctx, client, a.stdin, a.stdout)
		},
	}
}

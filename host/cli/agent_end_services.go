package cli

import (
	"cmp"
	"context"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/agent"
)

func (a *app) agentEndServices() *cli.Command {
	return &cli.Command{
		Name: "end-services", Usage: "end all services in their order, when no agent runs",
		Description: "For the end of the host, after that of the agent. Those that come after others are ended first, each gracefully. The next agent starts " +
			`them again; "handover stop" is for one that is not to be started again.`,
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			path, err := configPath()
			if path = cmp.Or(c.String("config"), path); path == "" {
				return err
			}
			return agent.EndServices(ctx, agent.Options{Config: path, Logger: a.logger("text", "info")})
		},
	}
}

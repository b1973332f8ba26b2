package cli

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/agent"
)

func (a *app) agent() *cli.Command {
	return &cli.Command{
		Name: keepsAll, Usage: "keep all services of this host",
		Description: "Starts a keeper for each service of the configuration, takes releases in, upgrades by them, watches what serves, and takes it back. The " +
			"services run on when the agent ends, and it finds them when it comes back.\n\n" +
			"SIGHUP reads the configuration again, SIGUSR2 upgrades the agent itself, SIGTERM and SIGINT end it.",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "config", Usage: "`FILE` of the configuration", TakesFile: true, Sources: cli.EnvVars("HANDOVER_AGENT_CONFIG"),
				DefaultText: "/etc/handover/agent.yaml, without root $XDG_CONFIG_HOME/handover/agent.yaml",
			},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: "text or json", Sources: cli.EnvVars("HANDOVER_LOG_FORMAT"), Validator: logFormat},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "debug, info, warn or error", Sources: cli.EnvVars("HANDOVER_LOG_LEVEL"), Validator: logLevel},
		},
		Commands: []*cli.Command{a.agentCheck(), a.agentReload(), a.agentStatus(), a.agentEndServices()},
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return a.none(ctx, c)
			}
			path, err := configPath()
			if path = cmp.Or(c.String("config"), path); path == "" {
				return err
			}
			return agent.Run(ctx, agent.Options{Config: path, Logger: a.logger(c.String("log-format"), c.String("log-level"))})
		},
	}
}

// configPath is the configuration of this user's agent.
func configPath() (string, error) {
	if os.Geteuid() == 0 {
		return "/etc/handover/agent.yaml", nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", failure{error: err, next: "name the configuration"}
	}
	return filepath.Join(dir, "handover", "agent.yaml"), nil
}

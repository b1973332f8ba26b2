package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/service"
)

func (a *app) stop() *cli.Command {
	return &cli.Command{
		Name: "stop", ArgsUsage: "[NAME]", Usage: "end a service gracefully",
		Description: "Requests in flight are answered first. Waits until the process that answers for the service, the generation that serves or " +
			"the keeper, has ended. With --wait=false it returns as soon as the service has heard it. An agent that keeps the service does not " +
			"start it again by itself.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "end all services of the agent, those first that come after others; they start again with the agent, as after a reboot"},
			&cli.BoolFlag{Name: "wait", Value: true, Usage: "wait until the service has ended; --wait=false does not"},
			&cli.DurationFlag{Name: "timeout", Value: 90 * time.Second, Usage: "how long to wait, 0 for ever", Validator: notNegative},
		},
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Bool("all") {
				return a.stopAll(ctx, c)
			}
			if agent, name, err := a.keptBy(ctx, c); err != nil {
				return err
			} else if agent != nil {
				defer agent.Close()
				return a.stopBy(ctx, c, agent, name)
			}
			client, err := a.dial(ctx, c)
			if err != nil {
				return err
			}
			defer client.Close()
			if err := client.Stop(ctx); err != nil {
				return err
			}
			if !c.Bool("wait") {
				_, err := fmt.Fprintf(a.stdout, "%s: told to end, pid %d\n", client.Name(), client.PID())
				return err
			}
			if d := c.Duration("timeout"); d > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, d)
				defer cancel()
			}
			if err := client.Wait(ctx); err != nil {
				next := "it was told to end and is about to"
				if errors.Is(err, service.ErrDeadline) {
					next = "it answers what is in flight still; wait, or run the command again to shorten that"
				}
				return failure{error: err, next: next}
			}
			_, err = fmt.Fprintf(a.stdout, "%s: ended, pid %d\n", client.Name(), client.PID())
			return err
		},
	}
}

// stopAll has the agent end all services.
func (a *app) stopAll(ctx context.Context, c *cli.Command) error {
	if err := nothing(c); err != nil {
		return err
	}
	agent, err := anAgent(c)
	if err != nil {
		return err
	}
	defer agent.Close()
	if d := c.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	if err := agent.StopAll(ctx); err != nil {
		return fmt.Errorf("stop all services: %w", err)
	}
	_, err = fmt.Fprintln(a.stdout, "all services have ended")
	return err
}

// stopBy has the agent end a service, which it answers when the service has ended.
func (a *app) stopBy(ctx context.Context, c *cli.Command, agent *control.Client, name string) error {
	if !c.Bool("wait") {
		return wrongUse("--wait=false: an agent answers when the service has ended; --no-agent asks the service itself")
	}
	if d := c.Duration("timeout"); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	s, err := agent.Stop(ctx, name)
	if err != nil {
		return fmt.Errorf("stop service %q: %w", name, err)
	}
	return sayService(a.stdout, s)
}

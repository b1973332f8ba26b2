package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) stop() *cli.Command {
	return &cli.Command{
		Name: "stop", ArgsUsage: "[NAME]", Usage: "end a service gracefully",
		Description: "Requests in flight are answered first. Waits until the process that answers for the service, the generation that serves or " +
			"the keeper, has ended. With --wait=false it returns as soon as the service has heard it.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "wait", Value: true, Usage: "wait until the service has ended; --wait=false does not"},
			&cli.DurationFlag{Name: "timeout", Value: 90 * time.Second, Usage: "how long to wait, 0 for ever", Validator: notNegative},
		},
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			client, err := dial(ctx, c)
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
				if errors.Is(err, control.ErrDeadline) {
					next = "it answers what is in flight still; wait, or run the command again to shorten that"
				}
				return failure{error: err, next: next}
			}
			_, err = fmt.Fprintf(a.stdout, "%s: ended, pid %d\n", client.Name(), client.PID())
			return err
		},
	}
}

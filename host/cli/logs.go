package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/control"
)

func (a *app) logs() *cli.Command {
	return &cli.Command{
		Name: "logs", ArgsUsage: "[NAME]", Usage: "show what a service has written",
		Description: "The output of all its processes that the agent has kept, as they wrote it. What goes to systemd's journal is not here.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on with what comes, until interrupted"},
			&cli.IntFlag{Name: "tail", Aliases: []string{"n"}, Value: 100, Usage: "begin with so many of the last lines, from 0 to 100000"},
		},
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			if n := c.Int("tail"); n < 0 || n > 100_000 {
				return wrongUse("logs: --tail %d: give 0 to 100000", n)
			}
			client, name, err := ofAgent(ctx, c)
			if err != nil {
				return err
			}
			defer client.Close()
			begun, cancel := context.WithCancelCause(ctx)
			defer cancel(nil)
			late := time.AfterFunc(questionTimeout, func() { cancel(context.DeadlineExceeded) }) // the answer may go on for as long as it likes
			text, err := client.Logs(begun, name, c.Int("tail"), c.Bool("follow"))
			late.Stop()
			if err != nil {
				return fmt.Errorf("ask for the log of service %q: %w", name, err)
			}
			defer func() { _ = text.Close() }()
			_, err = io.Copy(a.stdout, text)
			switch {
			case ctx.Err() != nil && c.Bool("follow"):
				return nil // the usual end
			case err != nil:
				return fmt.Errorf("copy the log of service %q: %w", name, err)
			case c.Bool("follow"):
				return fmt.Errorf("follow the log of service %q: %w any more", name, control.ErrNoAgent)
			}
			return nil
		},
	}
}

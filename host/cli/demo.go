package cli

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"
)

// demoOptions are what "handover demo" was given.
type demoOptions struct {
	JSON   bool // one object at the end instead of text
	Stdout io.Writer
	Stderr io.Writer
}

func (a *app) demo() *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "see a service replaced under load, by good builds and by bad ones", Flags: []cli.Flag{outputFlag("text")},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			return runDemo(ctx, demoOptions{JSON: asJSON(c), Stdout: a.stdout, Stderr: a.stderr})
		},
	}
}

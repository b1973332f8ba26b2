package cli

import (
	"context"
	"errors"

	"github.com/handover-go/handover/keeper"
)

// runKeeper keeps the service until it has ended, and ends as it did.
func runKeeper(ctx context.Context, o RunOptions) error {
	c := keeper.Config{
		Command: o.Command[0], Args: o.Command[1:], Env: o.Env, Name: o.Name, RuntimeDir: o.RuntimeDir, StateDir: o.StateDir,
		Health: keeper.Health{Path: o.Health, Interval: o.HealthInterval, Timeout: o.HealthTimeout, Failures: o.HealthFailures},
		Logger: o.Logger,
	}
	for _, l := range o.Listen {
		c.Listen = append(c.Listen, l.Address)
	}
	k, err := keeper.New(ctx, c)
	if err != nil {
		return err
	}
	err = k.Run(ctx)
	var ended *keeper.ExitError
	if errors.As(err, &ended) {
		return failure{error: err, next: "see what the service itself has said above", code: ended.Code}
	}
	return err
}

package cli

import (
	"context"
	"errors"

	"github.com/handover-go/handover/keeper"
)

// runKeeper keeps the service until it has ended, and ends as it did.
func runKeeper(ctx context.Context, o RunOptions) error {
	c, err := o.keeperConfig()
	if err != nil {
		return err
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

// keeperConfig is what the keeper is given.
func (o RunOptions) keeperConfig() (keeper.Config, error) {
	c := keeper.Config{
		Command: o.Command[0], Args: o.Command[1:], Env: o.Env, Name: o.Name, RuntimeDir: o.RuntimeDir, StateDir: o.StateDir, Output: o.Output, Limits: o.Limits,
		Health:   keeper.Health{Path: o.Health, TLS: o.HealthTLS, Interval: o.HealthInterval, Timeout: o.HealthTimeout, Failures: o.HealthFailures},
		Strategy: o.Strategy, Logger: o.Logger,
	}
	for _, l := range o.Listen {
		c.Listen = append(c.Listen, l.Address)
	}
	if o.StopSignal == "" {
		return c, nil
	}
	var err error
	c.StopSignal, err = keeper.ParseSignal(o.StopSignal)
	return c, err
}

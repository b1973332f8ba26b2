package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/subject"
)

// Migration is how idle connections moved to the next process.
type Migration struct {
	Connections int
	Took        time.Duration // from FINAL until the process before had none left
}

// Migrated has a service with idle connections hand over, and asks on each of them afterwards.
func Migrated(ctx context.Context, b *subject.Builds, connections int) (m Migration, err error) {
	running, err := subject.Library().Start(ctx, b)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	conns := make([]*measure.Conn, connections)
	for i := range conns {
		if conns[i], err = measure.Dial(running.Address, time.Minute); err != nil {
			return m, fmt.Errorf("connection %d: %w", i, err)
		}
		defer conns[i].Close()
		if err := conns[i].Ask(); err != nil {
			return m, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	events := follow(running)
	if err := running.Trigger(ctx); err != nil {
		return m, err
	}
	began, err := await(ctx, events, final)
	if err != nil {
		return m, err
	}
	ended, err := await(ctx, events, finished)
	if err != nil {
		return m, err
	}
	for i, c := range conns {
		if err := c.Ask(); err != nil {
			return m, fmt.Errorf("connection %d after its migration: %w", i, err)
		}
	}
	return Migration{connections, ended.Time.Sub(began.Time)}, nil
}

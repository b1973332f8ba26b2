package control

import (
	"context"
	"io"
)

// Backend is the agent as the server asks it. Its methods are called by several goroutines at once.
//
// The context of a method that changes something (those with a Caller) does not end with its client, but has a deadline.
// Upgrade and Rollback return when the upgrade is recorded and begins; what becomes of it is Await's. Errors wrap the
// sentinels of this package, or are an *Error with words of its own.
type Backend interface {
	Services(ctx context.Context) ([]Service, error)
	Service(ctx context.Context, name string) (Service, error)
	History(ctx context.Context, name string, limit int) ([]Upgrade, error) // newest first
	Releases(ctx context.Context, name string) ([]Release, error)
	// Logs is the output of the service, the last tail lines and, to follow, what comes until ctx ends. The server closes it.
	Logs(ctx context.Context, name string, tail int, follow bool) (io.ReadCloser, error)
	Lookup(ctx context.Context, service string, number uint64) (Upgrade, error)
	// Await returns when the upgrade is over or has more than so many steps.
	Await(ctx context.Context, service string, number uint64, steps int) (Upgrade, error)
	Agent(ctx context.Context) (Agent, error)

	Plan(ctx context.Context, by Caller, name string, r UpgradeRequest) (Plan, error)
	Upgrade(ctx context.Context, by Caller, name string, r UpgradeRequest) (Upgrade, error)
	Rollback(ctx context.Context, by Caller, name string, r RollbackRequest) (Upgrade, error)
	Promote(ctx context.Context, by Caller, name string) (Upgrade, error) // ends probation and bake time well
	Abort(ctx context.Context, by Caller, name, reason string) (Upgrade, error)
	Pause(ctx context.Context, by Caller, name, reason string) (Service, error)
	Resume(ctx context.Context, by Caller, name string) (Service, error)
	Start(ctx context.Context, by Caller, name string) (Service, error)
	Stop(ctx context.Context, by Caller, name string) (Service, error)
	Reload(ctx context.Context, by Caller) (Reload, error)
	StopAll(ctx context.Context, by Caller) error // until an agent is started anew
}

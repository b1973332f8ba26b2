package cli

import (
	"context"
	"fmt"

	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/keeper/preflight"
)

// verify examines a build before the service is asked to start it, in comparison with the one that serves. What is doubtful is
// said and does not stop it.
func (a *app) verify(ctx context.Context, client *service.Client, file string) error {
	var incumbent preflight.Reference
	if client.PID() != 0 { // else its pids mean other processes here
		status, err := client.Status(ctx)
		if err != nil {
			return err
		}
		incumbent.PID = status.PID
	}
	found, err := preflight.Check(file, incumbent)
	for _, w := range found.Warnings {
		fmt.Fprintf(a.stderr, "handover: warning: %v\n", w)
	}
	return err
}

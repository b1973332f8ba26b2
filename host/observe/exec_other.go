//go:build !linux

package observe

import (
	"context"
	"os/exec"
)

// runGroup runs a program until it ends or ctx does. What the program has started is not killed here.
func runGroup(ctx context.Context, program *exec.Cmd) error {
	if err := program.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = program.Process.Kill() })
	defer stop()
	return program.Wait()
}

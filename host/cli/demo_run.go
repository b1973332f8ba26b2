package cli

import (
	"context"
	"errors"

	"github.com/handover-go/handover/host/demo"
)

func runDemo(ctx context.Context, o demoOptions) error {
	_, isTerminal := terminal(o.Stdout)
	err := demo.Run(ctx, demo.Options{JSON: o.JSON, Terminal: isTerminal, Stdout: o.Stdout})
	if errors.Is(err, demo.ErrBroken) {
		return failure{error: err, next: "please report it, with what is printed here"}
	}
	return err
}

// Command handover runs services that are replaced with nothing lost, and speaks to those that run.
package main

import (
	"context"
	"os"

	"github.com/handover-go/handover/host/cli"
	"github.com/handover-go/handover/host/demo"
	"github.com/handover-go/handover/keeper"
)

func main() {
	keeper.Become()
	if status, served := demo.Serve(context.Background()); served {
		os.Exit(status)
	}
	os.Exit(cli.Run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

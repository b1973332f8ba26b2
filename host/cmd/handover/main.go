// Command handover runs services that are replaced with nothing lost, and speaks to those that run.
package main

import (
	"context"
	"os"

	"github.com/handover-go/handover/host/cli"
)

func main() {
	os.Exit(cli.Run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// Command keeper runs a service under a keeper of one's own.
//
//	keeper ./server -its -arguments
package main

import (
	"context"
	"errors"
	"log"
	"os"

	"github.com/handover-go/handover/keeper"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: keeper PROGRAM [ARGUMENT...]")
	}
	ctx := context.Background()
	k, err := keeper.New(ctx, keeper.Config{Command: os.Args[1], Args: os.Args[2:]})
	if err != nil {
		log.Fatal(err)
	}
	var ended *keeper.ExitError
	if err := k.Run(ctx); errors.As(err, &ended) {
		log.Print(ended)
		os.Exit(ended.Code)
	}
}

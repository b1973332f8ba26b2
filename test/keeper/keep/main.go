// Command keep is the keeper under test: a keeper with its configuration in flags, which says in its log who it is and how
// the service has ended. SIGPWR has it say how many goroutines it has.
package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/handover-go/handover/keeper"
	_ "github.com/handover-go/handover/test/internal/clock" // jumps in builds that want it to
)

func main() {
	keeper.Become()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("build", "keeper", "from", os.Getpid()))
	config := keeper.Config{}
	flag.StringVar(&config.Name, "name", "", "")
	flag.StringVar(&config.StateDir, "state", "", "")
	flag.StringVar(&config.Output, "output", "", "")
	flag.StringVar(&config.Health.Path, "health", "", "")
	flag.DurationVar(&config.Health.Interval, "interval", 0, "")
	flag.DurationVar(&config.Health.Timeout, "timeout", 0, "")
	flag.DurationVar(&config.StopTimeout, "stop", 0, "")
	flag.DurationVar(&config.Steady, "steady", 0, "")
	flag.IntVar(&config.Restarts, "restarts", 0, "")
	flag.Func("listen", "", func(address string) error {
		config.Listen = append(config.Listen, address)
		return nil
	})
	flag.Func("limit", "", func(text string) error {
		l, err := keeper.ParseLimit(text)
		config.Limits = append(config.Limits, l)
		return err
	})
	flag.Parse()
	if flag.NArg() > 0 {
		config.Command, config.Args = flag.Arg(0), flag.Args()[1:]
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGPWR)
	go func() {
		for range asked {
			slog.Info("goroutines", "count", runtime.NumGoroutine())
		}
	}()
	os.Exit(keep(config))
}

func keep(config keeper.Config) int {
	ctx := context.Background()
	k, err := keeper.New(ctx, config)
	if err != nil {
		slog.Error("no keeper", "error", err)
		return 111
	}
	var ended *keeper.ExitError
	switch err := k.Run(ctx); {
	case errors.As(err, &ended):
		slog.Error("kept no longer", "code", ended.Code, "error", ended)
		return ended.Code
	case err != nil:
		slog.Error("kept no longer", "code", 112, "error", err)
		return 112
	}
	slog.Info("kept no longer", "code", 0)
	return 0
}

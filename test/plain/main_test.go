// Package plain keeps programs that know nothing of handover: in Python, for Node and in Go, each with its sockets in
// LISTEN_FDS and nothing else. It holds the keeper to what it promises of them, and counts what they lose on their own.
package plain

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/keeper"
)

// roleVariable makes this test binary the keeper under test.
const roleVariable = "PLAIN_TEST_ROLE"

func TestMain(m *testing.M) {
	keeper.Become()
	switch os.Getenv(roleVariable) {
	case "keeper":
		os.Exit(keep())
	}
	goleak.VerifyTestMain(m)
}

// keep is the keeper under test, with its configuration in flags.
func keep() int {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	config := keeper.Config{Name: "shop"}
	flags := flag.NewFlagSet("keeper", flag.ExitOnError)
	flags.Func("listen", "", func(address string) error {
		config.Listen = append(config.Listen, address)
		return nil
	})
	flags.StringVar(&config.StateDir, "state", "", "")
	flags.StringVar(&config.Health.Path, "health", "", "")
	flags.DurationVar(&config.Health.Interval, "interval", 0, "")
	flags.DurationVar(&config.Settle, "settle", 0, "")
	flags.DurationVar(&config.DrainTimeout, "drain", 0, "")
	_ = flags.Parse(os.Args[1:])
	config.Command, config.Args = flags.Arg(0), flags.Args()[1:]
	config.Env = strings.Fields(os.Getenv("PLAIN_TEST_ENV"))
	k, err := keeper.New(context.Background(), config)
	if err != nil {
		slog.Error("no keeper", "error", err)
		return 111
	}
	err = k.Run(context.Background())
	var ended *keeper.ExitError
	if errors.As(err, &ended) {
		return ended.Code
	}
	return 0
}

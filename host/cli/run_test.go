package cli

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/keeper"
)

func TestRunTakesFlagsBeforeAndArgumentsAfterTheDashes(t *testing.T) {
	for _, v := range []string{"HANDOVER_NAME", "HANDOVER_DRAIN_TIMEOUT", "HANDOVER_LISTEN"} {
		t.Setenv(v, "")
	}
	t.Setenv("HANDOVER_READY_TIMEOUT", "90s")
	a := &app{}
	command := a.run()
	var o RunOptions
	var fault error
	command.Action = func(_ context.Context, c *cli.Command) error {
		o, fault = a.runOptions(c)
		return nil
	}
	err := command.Run(t.Context(), []string{
		"run", "--listen", ":8080", "--listen", "/run/shop.http", "--strategy", "nginx", "--stop-signal", "quit", "--health", "/healthz", "--health-failures", "2", "--probation", "2s",
		"--max-draining", "3", "--migration-share", "0.5", "--state-dir", "/srv/shop", "--", "/opt/shop", "help", "--health", "-v",
	})
	if err := errors.Join(err, fault); err != nil {
		t.Fatal(err)
	}
	if o.Strategy != "nginx" || o.StopSignal != "quit" {
		t.Errorf("%+v", o)
	}
	if o.Name != "" || o.Health != "/healthz" || o.HealthFailures != 2 || o.StateDir != "/srv/shop" || o.Logger == nil {
		t.Errorf("%+v", o)
	}
	for what, same := range map[string]bool{
		"command":   slices.Equal(o.Command, []string{"/opt/shop", "help", "--health", "-v"}),
		"listeners": slices.Equal(o.Listen, []Listen{{"tcp", ":8080"}, {"unix", "/run/shop.http"}}),
		"variables": slices.Equal(o.Env, []string{"HANDOVER_READY_TIMEOUT=1m30s", "HANDOVER_PROBATION=2s", "HANDOVER_MIGRATION_SHARE=0.5", "HANDOVER_MAX_DRAINING=3"}),
	} {
		if !same {
			t.Errorf("%s: %+v", what, o)
		}
	}
}

// TestEveryFlagOfRunReachesTheKeeper, or its logger.
func TestEveryFlagOfRunReachesTheKeeper(t *testing.T) {
	values := map[string]string{
		"name": "other", "listen": ":1", "strategy": "nginx", "stop-signal": "HUP", "health": "/other", "state-dir": "/other", "output": "/other", "limit": "nofile=1",
	}
	always := []string{"run", "--listen", ":2", "--health", "/healthz"}
	given := func(args ...string) (of keeper.Config) {
		a := &app{}
		command := a.run()
		command.Action = func(_ context.Context, c *cli.Command) error {
			o, err := a.runOptions(c)
			if err != nil {
				return err
			}
			k, err := o.keeperConfig()
			k.Logger = nil
			of = k
			return err
		}
		if err := command.Run(t.Context(), slices.Concat(always, args, []string{"--", "/opt/shop"})); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return of
	}
	usual := given()
	for _, f := range runFlags() {
		name := f.Names()[0]
		if name == "log-format" || name == "log-level" {
			continue
		}
		args := []string{"--" + name}
		switch f.(type) {
		case *cli.BoolFlag:
		case *cli.DurationFlag:
			args = append(args, "7s")
		case *cli.IntFlag:
			args = append(args, "7")
		case *cli.FloatFlag:
			args = append(args, "0.5")
		default:
			args = append(args, values[name])
		}
		if got := given(args...); reflect.DeepEqual(got, usual) {
			t.Errorf("--%s: nothing of it reaches the keeper", name)
		}
	}
}

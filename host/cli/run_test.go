package cli

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/urfave/cli/v3"
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
		"run", "--listen", ":8080", "--listen", "/run/shop.http", "--health", "/healthz", "--health-failures", "2", "--probation", "2s",
		"--max-draining", "3", "--migration-share", "0.5", "--state-dir", "/srv/shop", "--", "/opt/shop", "help", "--health", "-v",
	})
	if err := errors.Join(err, fault); err != nil {
		t.Fatal(err)
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

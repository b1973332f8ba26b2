package demo_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func TestDemoKeepsEveryPromise(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, handovertest.Build(t, "../cmd/handover"), "demo", "-o", "json")
	// An interrupted demo ends its service; a killed one could not.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("demo: %v\n%s%s", err, &stdout, &stderr)
	}

	var got map[string]float64
	decoder := json.NewDecoder(&stdout)
	if err := decoder.Decode(&got); err != nil {
		t.Fatalf("output of the demo: %v", err)
	}
	if decoder.More() {
		t.Error("output of the demo: more than one object")
	}
	for key, want := range map[string]float64{
		"upgrades": 10, "refused": 2, "resumed": 2, "failed": 0, "closed": 0, "refused_connections": 0,
	} {
		if value, ok := got[key]; !ok || value != want {
			t.Errorf("%s: %v (there: %t), want %v", key, value, ok, want)
		}
	}
	for _, key := range []string{"requests", "lost_in_crash", "switch_ms_median", "resume_ms_max", "restart_ms"} {
		if got[key] <= 0 {
			t.Errorf("%s: %v, want more than 0", key, got[key])
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("the demo complains: %s", &stderr)
	}
}

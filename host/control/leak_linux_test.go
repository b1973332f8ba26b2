package control_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/internal/fake"
)

// However a conversation ends, its descriptors and goroutines end with it.
func TestConversationsLeaveNothingBehind(t *testing.T) {
	talk := func() {
		for _, script := range []string{"final", "resumed", "dies", "denied", "future", "garbage"} {
			dir := runtimeDir(t)
			s, err := fake.Start(dir, "shop", script)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := control.Dial(t.Context(), dir, "shop"); err == nil {
				_, _ = c.Upgrade(t.Context(), control.Request{}, nil) // how it ends is no matter here
				c.Close()
			}
			s.Close()
		}
	}
	talk() // the runtime opens its own on first use
	descriptors, goroutines := open(t), runtime.NumGoroutine()
	talk()
	deadline := time.After(10 * time.Second)
	for open(t) > descriptors || runtime.NumGoroutine() > goroutines {
		select {
		case <-time.After(time.Millisecond): // the end of a goroutine is no event
		case <-deadline:
			t.Fatalf("%d descriptors, %d goroutines; before %d and %d", open(t), runtime.NumGoroutine(), descriptors, goroutines)
		}
	}
}

func open(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

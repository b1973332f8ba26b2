package service_test

import (
	"testing"

	"github.com/handover-go/handover/host/internal/fake"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/leaktest"
)

// However a conversation ends, its descriptors and goroutines end with it.
func TestConversationsLeaveNothingBehind(t *testing.T) {
	leaktest.Twice(t, func() {
		for _, script := range []string{"final", "resumed", "dies", "denied", "future", "garbage"} {
			dir := runtimeDir(t)
			s, err := fake.Start(dir, "shop", script)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := service.Dial(t.Context(), dir, "shop"); err == nil {
				_, _ = c.Upgrade(t.Context(), service.Request{}, nil) // how it ends is no matter here
				c.Close()
			}
			s.Close()
		}
	})
}

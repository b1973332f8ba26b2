package keeper

import (
	"testing"
	"time"
)

func TestFirstRestartIsImmediateAndLaterOnesWait(t *testing.T) {
	b := backoff{limit: 4, steady: time.Second}
	for i, want := range []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
		if delay, again := b.died(0); !again || delay != want {
			t.Errorf("death %d: %s, %t, want %s", i+1, delay, again, want)
		}
	}
	if _, again := b.died(0); again {
		t.Error("a crash loop goes on")
	}
}

func TestSteadyServiceForgetsEarlierDeaths(t *testing.T) {
	b := backoff{limit: 2, steady: time.Second}
	for range 5 {
		b.died(0)
		if delay, again := b.died(time.Second); !again || delay != 0 {
			t.Fatalf("after a second of serving: %s, %t, want at once", delay, again)
		}
	}
}

func TestDelayIsBounded(t *testing.T) {
	b := backoff{limit: 100, steady: time.Second}
	for range 100 {
		if delay, _ := b.died(0); delay > lastDelay {
			t.Fatalf("%s, at most %s", delay, lastDelay)
		}
	}
}

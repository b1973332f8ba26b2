package observe_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/observe"
)

// slow is a check that takes its time and counts how often it has run.
type slow struct {
	name string
	took time.Duration
	runs *int
}

func (s slow) Run(ctx context.Context) judge.Check {
	*s.runs++
	select {
	case <-time.After(s.took):
		return judge.Check{Name: s.name, OK: true}
	case <-ctx.Done():
		return judge.Check{Name: s.name}
	}
}

func TestProbesRunTogetherEachAtItsOwnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Millisecond)
		defer cancel()
		var quick, lazy, hung int
		heard := map[string]int{}
		observe.Watch(ctx, []observe.Probe{
			{Check: slow{"quick", time.Second, &quick}, Interval: time.Second, Failures: 7},
			{Check: slow{"lazy", 0, &lazy}}, // at 0 s, 5 s, … 60 s
			{Check: slow{"hung", time.Hour, &hung}},
		}, func(o judge.Check) {
			heard[o.Name]++
			if !o.OK || (o.Name == "quick") != (o.Failures == 7) {
				t.Errorf("outcome %+v", o)
			}
		})
		if ctx.Err() == nil {
			t.Error("it has returned before its time")
		}
		if heard["quick"] != 30 || heard["lazy"] != 13 || heard["hung"] != 0 || hung != 1 {
			t.Errorf("heard %v, hung ran %d times", heard, hung)
		}
	})
}

func TestWatchOfNothingReturns(t *testing.T) {
	observe.Watch(t.Context(), nil, func(judge.Check) { t.Error("an outcome of nothing") })
}

func TestProbesThatWaitForASlowListenerEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var a, b int
		observe.Watch(ctx, []observe.Probe{{Check: slow{"a", 0, &a}}, {Check: slow{"b", 0, &b}}}, func(judge.Check) {
			cancel()
			<-time.After(time.Minute)
		})
		if a != 1 || b != 1 {
			t.Errorf("%d and %d runs, want one of each", a, b)
		}
	})
}

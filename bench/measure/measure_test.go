package measure_test

import (
	"testing"
	"time"

	"github.com/handover-go/handover/bench/measure"
)

func TestQuantileIsTheSmallestThatTheShareDoesNotExceed(t *testing.T) {
	values := []int{50, 10, 40, 20, 30}
	for q, want := range map[float64]int{0: 10, 0.2: 10, 0.21: 20, 0.5: 30, 0.8: 40, 0.99: 50, 1: 50} {
		if got := measure.Quantile(values, q); got != want {
			t.Errorf("quantile %v: got %d, want %d", q, got, want)
		}
	}
	if got := measure.Median([]time.Duration(nil)); got != 0 {
		t.Errorf("median of none: got %v", got)
	}
	if got := measure.Per100(3, 12); got != 25 {
		t.Errorf("3 in 12 upgrades: got %v in a hundred", got)
	}
}

func TestLatenciesOfAWindowAreKeptApart(t *testing.T) {
	l := measure.NewLatencies()
	trigger := time.Now()
	l.Add(trigger.Add(-time.Second), 10*time.Millisecond) // steady
	l.Disturb(trigger)
	l.Add(trigger.Add(-5*time.Millisecond), 10*time.Millisecond)               // reaches into the window
	l.Add(trigger.Add(measure.Window-time.Millisecond), 100*time.Millisecond)  // due in the window
	l.Add(trigger.Add(measure.Window+time.Millisecond), 1000*time.Millisecond) // neither: not settled
	l.Settled()                                                                // now, which is about the trigger
	l.Add(trigger.Add(measure.Window+2*time.Millisecond), 20*time.Millisecond) // steady
	window, steady := l.Split()
	if window.TotalCount() != 2 || steady.TotalCount() != 2 {
		t.Fatalf("%d in the window, %d steady, want 2 and 2", window.TotalCount(), steady.TotalCount())
	}
	if p50, p99, _ := measure.Quantiles(window); p50.Round(time.Millisecond) != 10*time.Millisecond || p99.Round(time.Millisecond) != 100*time.Millisecond {
		t.Errorf("in the window p50 %v, p99 %v, want 10 ms and 100 ms", p50, p99)
	}
}

func TestGapIsTheLongestThatTouchesTheSpan(t *testing.T) {
	began := time.Now()
	at := func(ms ...int) (answers []measure.Answer) {
		for _, n := range ms {
			answers = append(answers, measure.Answer{At: began.Add(time.Duration(n) * time.Millisecond)})
		}
		return answers
	}
	for _, c := range []struct {
		answers []measure.Answer
		want    time.Duration
	}{
		{at(-50, -10, 1, 2, 5, 6), 11 * time.Millisecond},     // begins before
		{at(-1, 1, 90, 130, 131), 89 * time.Millisecond},      // within
		{at(-1, 1, 40, 95, 250, 600), 155 * time.Millisecond}, // ends behind, and the one after does not count
		{at(1), 0},
	} {
		if got := measure.Gap(c.answers, began, 100*time.Millisecond); got != c.want {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}

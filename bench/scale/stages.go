package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// stages tells where the time of an upgrade goes, from the signal until it is final.
func stages(ctx context.Context, s settings) error {
	marks := []struct {
		name  string
		words []string
	}{
		{"the incumbent starts the successor", []string{`msg="handover begins`}},
		{"the successor is there: it has the offer", []string{"event=OFFER"}},
		{"it has made its listeners and calls Run", []string{`event="Run called"`, "to=checking"}},
		{"its listeners are known to the incumbent", []string{"event=ADOPTED"}},
		{"it has checked itself: READY", []string{`event="check passed"`, "to=ready"}},
		{"the incumbent begins to freeze", []string{"event=READY to=freezing"}},
		{"nobody accepts: FREEZE", []string{"event=frozen to=passing"}},
		{"the successor has all: IMPORTED", []string{"event=IMPORTED to=committed"}},
		{"the successor accepts: SERVING", []string{"event=COMMIT to=proving"}},
		{"the incumbent knows", []string{"event=SERVING to=probation"}},
	}
	took := make([]series, len(marks))
	f, err := start(ctx)
	if err != nil {
		return err
	}
	for range 20 * s.rounds {
		u, err := f.upgrade(ctx)
		if err != nil {
			return err
		}
		for i, m := range marks {
			at := slices.IndexFunc(u.trail, func(l line) bool { return l.has(m.words...) })
			if at < 0 {
				return fmt.Errorf("the log has no %q", m.words)
			}
			took[i].add(0, float64(u.trail[at].at.Sub(u.asked))/float64(time.Microsecond))
		}
	}
	fmt.Printf("\n## Where the time of an upgrade goes\n\nMedians of %d upgrades, microseconds since the signal.\n\n| since the signal | more than the line before | |\n|---|---|---|\n", 20*s.rounds)
	before := 0.0
	for i, m := range marks {
		at := took[i].quantile(0.5)
		fmt.Printf("| %.0f | %.0f | %s |\n", at, at-before, m.name)
		before = at
	}
	return f.end(ctx)
}

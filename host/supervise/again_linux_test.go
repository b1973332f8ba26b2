package supervise

import (
	"testing"
	"time"

	"github.com/handover-go/handover/host/journal"
)

// TestReleaseIsTriedAgainUnlessItsUpgradeWasDecided, by who asks for the same again: what was cut short says nothing of it. It fails if every upgrade
// holds its key, or none.
func TestReleaseIsTriedAgainUnlessItsUpgradeWasDecided(t *testing.T) {
	sc := newScene(t, Config{})
	for _, c := range []struct {
		state, reason string
		by            []string // steps
		again         bool
	}{
		{"aborted", "the agent ended before the keeper was asked", []string{"staging"}, true},
		{"aborted", "vetoed: freeze", []string{"staging", "asking"}, true},
		{"aborted", "a handover is under way", []string{"staging", "switching"}, true},
		{"failed", "nobody answers", []string{"staging", "switching"}, true},
		{"aborted", "aborted by uid:0", []string{"staging"}, false},
		{"refused", "content differs from the manifest", []string{"staging"}, true},
		{"refused", "the build is for another machine", []string{"staging", "switching"}, false},
		{"resumed", "it died", []string{"switching", "proving"}, false},
		{"returned", "the release is not made current", []string{"switching", "proving"}, false},
		{"failed", "it could not be taken back", []string{"switching", "proving", "baking", "returning"}, false},
		{"kept", "pass", []string{"switching", "proving", "baking"}, false},
	} {
		key := "watch " + c.state + ": " + c.reason
		first, _, err := sc.journal.Begin(journal.Upgrade{Service: "shop", Key: key, Began: time.Now(), State: "planned"})
		sc.must(err)
		for _, step := range c.by {
			sc.must(sc.journal.Step("shop", first.Number, journal.Step{State: step, At: time.Now()}, nil))
		}
		sc.must(sc.journal.End("shop", first.Number, journal.Step{State: c.state, At: time.Now(), Detail: c.reason}, nil))
		if r, err := sc.s.Upgrade(t.Context(), Wish{Release: "1.0.0", Key: key}); err != nil || r.Number != first.Number {
			t.Errorf("%s: who does not ask for it again is told of number %d, %v", key, r.Number, err)
		}
		r, err := sc.s.Upgrade(t.Context(), Wish{Release: "1.0.0", Key: key, Again: true})
		begun := r.Number != first.Number
		if err != nil || begun != c.again {
			t.Errorf("%s: number %d after %d, %v", key, r.Number, first.Number, err)
		}
		if !begun {
			continue
		}
		if same, err := sc.s.Upgrade(t.Context(), Wish{Release: "1.0.0", Key: key, Again: true}); err != nil || same.Number != r.Number {
			t.Errorf("%s: under way is number %d, told is %d, %v", key, r.Number, same.Number, err)
		}
		(<-sc.s.upgrades)(t.Context())
	}
}

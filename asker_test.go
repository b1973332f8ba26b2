package handover

import (
	"testing"
	"testing/synctest"
	"time"
)

// askedOnes counts who was asked to leave.
type askedOnes struct{ n int }

func (a *askedOnes) ask() bool { a.n++; return true }

// TestConnectionsLeaveInBurstsWithRests: a quarter of the time is the migration's.
func TestConnectionsLeaveInBurstsWithRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, asked := manyToAsk(0.25)
		defer a.stop()
		wantAsked := func(when string, want int) {
			t.Helper()
			a.more(0)
			if asked.n != want {
				t.Fatalf("%s: %d were asked; want %d", when, asked.n, want)
			}
		}
		wantAsked("at the beginning", burstSize)
		wantAsked("while they leave", burstSize)
		a.came(make([]*conn, burstSize))
		if a.more(burstSize); asked.n != burstSize {
			t.Fatalf("%d were asked while a burst is under way", asked.n)
		}
		<-time.After(4 * time.Millisecond) // of the bubble's clock
		wantAsked("when the last is through", burstSize)
		a.came(make([]*conn, 1))
		wantAsked("as one comes late, in the rest", burstSize)
		<-time.After(12*time.Millisecond - 1) // of the bubble's clock
		wantAsked("before the end of the rest", burstSize)
		<-a.due()
		wantAsked("after the rest", 2*burstSize)
		<-time.After(askPatience) // of the bubble's clock
		wantAsked("as nobody has come", 3*burstSize)
		a.came(make([]*conn, 1))
		a.anew()
		a.round, a.again = asked.many(), time.Now().Add(time.Hour)
		wantAsked("when another generation is to have them", 4*burstSize)
		if a.more(0); asked.n != 4*burstSize {
			t.Fatalf("%d were asked at once for another generation", asked.n)
		}
	})
}

// TestMigrationWithoutRests: no more than a window is under way at a time.
func TestMigrationWithoutRests(t *testing.T) {
	for name, share := range map[string]float64{"at full speed": 1, "as the drain deadline comes near": 0.25} {
		synctest.Test(t, func(t *testing.T) {
			a, asked := manyToAsk(share)
			defer a.stop()
			a.hurry = share < 1
			if a.more(0); asked.n != window {
				t.Errorf("%s: %d were asked; want %d", name, asked.n, window)
			}
			a.came(make([]*conn, 100))
			if a.more(60); asked.n != window+40 {
				t.Errorf("%s: %d were asked with 60 under way; want %d", name, asked.n, window+40)
			}
		})
	}
}

func manyToAsk(share float64) (*asker, *askedOnes) {
	a, asked := newAsker(&Process{config: Config{MigrationShare: share}}), &askedOnes{}
	a.round, a.again = asked.many(), time.Now().Add(time.Hour)
	return &a, asked
}

func (a *askedOnes) many() []leaver {
	all := make([]leaver, 10_000)
	for i := range all {
		all[i] = a
	}
	return all
}

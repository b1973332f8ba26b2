package strict_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/strict"
)

func TestMain(m *testing.M) {
	// A successor is its incumbent's child, and outlives it: then it is this process's.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// upgrades is how many handovers a test does.
func upgrades() int { return count.Of(20, 200) }

func TestTwoHundredUpgradesLoseNothing(t *testing.T) {
	s := start(t)
	assertNothingLost(t, s, s.signalWhoAnswers)
}

func TestJoinedUpgradesLoseNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	s := start(t, "HANDOVER_NAME=x", "HANDOVER_RUNTIME_DIR="+dir)
	assertNothingLost(t, s, func() error {
		_, err := s.launch()
		return err
	})
	if _, err := os.Lstat(filepath.Join(dir, "x.sock")); !os.IsNotExist(err) {
		t.Errorf("the takeover socket is left behind: %v", err)
	}
}

// assertNothingLost upgrades a service under load, each time by next.
func assertNothingLost(t *testing.T, s *service, next func() error) {
	t.Helper()
	driver := strict.Drive(s.address, strict.Everyone)
	began := time.Now()
	longest, err := upgradeAll(t, s, next)
	lasted := time.Since(began)
	report := driver.Stop()

	t.Logf("%d upgrades in %s, the longest took %s", len(s.generations)-1, lasted.Round(time.Millisecond), longest.Round(time.Millisecond))
	t.Log(report)
	t.Log("requests by kind:", report.ByKind)
	if report.Failed != 0 || report.Closed != 0 {
		t.Errorf("failed %d, closed %d, want none:\n%s", report.Failed, report.Closed, strings.Join(report.Reasons, "\n"))
	}
	for _, line := range s.output.all(suspect) {
		t.Errorf("the service complains: %s", line)
	}
	if err != nil {
		t.Fatalf("upgrade %d: %v\n%s", len(s.generations), err, s.output.tail(40))
	}
	s.assertAlone()
	s.assertEnds()
	if t.Failed() {
		t.Log(s.output.tail(60))
	}
}

// upgradeAll does all upgrades, one after the other is final, and returns how long the longest took.
func upgradeAll(t *testing.T, s *service, next func() error) (longest time.Duration, err error) {
	for range upgrades() {
		ctx, cancel := context.WithTimeout(t.Context(), step)
		asked := time.Now()
		if err = next(); err == nil {
			err = s.awaitFinal(ctx)
		}
		cancel()
		if err != nil {
			return longest, err
		}
		longest = max(longest, time.Since(asked))
	}
	if got, want := len(s.generations), upgrades()+1; got != want {
		return longest, fmt.Errorf("%d generations, want %d", got, want)
	}
	return longest, nil
}

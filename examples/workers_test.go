package examples_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/handover-go/handover/handovertest"
)

func TestWorkersOfTwoGenerationsNeverOverlap(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	service := start(t, "./workers", "JOURNAL="+journal)
	load := drive(t, service)
	service.Upgrade(2)
	handovertest.AssertNothingLost(t, finish(t, load, service))
	service.Stop()

	content, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for g := 1; g <= 3; g++ {
		if lines, err = takeShift(lines, g); err != nil {
			t.Fatalf("%v, in\n%s", err, content)
		}
	}
	if len(lines) > 0 {
		t.Errorf("after the last generation: %q", lines)
	}
}

// takeShift takes the work of one generation from the head of the journal: its begin, ticks, its end.
func takeShift(lines []string, generation int) (rest []string, err error) {
	line := func(what string) string { return fmt.Sprintf("generation %d %s", generation, what) }
	if len(lines) == 0 || lines[0] != line("begins") {
		return nil, fmt.Errorf("generation %d does not begin", generation)
	}
	ticks := 0
	for ticks+1 < len(lines) && lines[ticks+1] == line("tick") {
		ticks++
	}
	rest = lines[ticks+1:]
	if ticks == 0 {
		return nil, fmt.Errorf("generation %d never ticks", generation)
	}
	if len(rest) == 0 || rest[0] != line("ends") {
		return nil, fmt.Errorf("generation %d does not end before something else happens", generation)
	}
	return rest[1:], nil
}

package arch

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// faults is how many rows docs/faults.md has.
const faults = 40

func TestEveryFaultHasItsRow(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository, "docs/faults.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(page), "\n")
	for n := 1; n <= faults; n++ {
		var rows []string
		for _, line := range lines {
			if strings.HasPrefix(line, fmt.Sprintf("| %d |", n)) {
				rows = append(rows, line)
			}
		}
		switch {
		case len(rows) != 1:
			t.Errorf("fault %d has %d rows, want 1", n, len(rows))
		case !testName.MatchString(rows[0]) && !strings.Contains(rows[0], "open"):
			t.Errorf("fault %d: neither a test nor the word open", n)
		}
	}
}

// testName is the name of a test as documents give it.
var testName = regexp.MustCompile(`\bTest[A-Z]\w+`)

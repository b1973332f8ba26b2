package arch

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/handover-go/handover/internal/doctest"
)

// faults is how many rows docs/faults.md has.
const faults = 40

func TestEveryFaultHasItsRow(t *testing.T) {
	rows := map[int]int{}
	for _, p := range faultsByPart {
		for _, f := range p.faults {
			if rows[f.number]++; f.number != 0 && rows[f.number] > 1 {
				t.Errorf("fault %d has %d rows, want 1", f.number, rows[f.number])
			}
			if !testName.MatchString(f.tests) && f.tests != "open" {
				t.Errorf("fault %d, %s: neither a test nor the word open", f.number, f.fault)
			}
			if f.tests == "open" && f.guard != "" {
				t.Errorf("fault %d is open, and has a guard", f.number)
			}
		}
	}
	for n := 1; n <= faults; n++ {
		if rows[n] == 0 {
			t.Errorf("fault %d has no row", n)
		}
	}
}

// testName is the name of a test as documents give it.
var testName = regexp.MustCompile(`\bTest[A-Z]\w+`)

func TestFaultsAreCurrent(t *testing.T) {
	var b strings.Builder
	for _, p := range faultsByPart {
		fmt.Fprintf(&b, "## %s\n\n| | fault | tests | guard |\n|---|---|---|---|\n", p.part)
		for _, f := range p.faults {
			number := ""
			if f.number > 0 {
				number = strconv.Itoa(f.number) + " "
			}
			fmt.Fprintf(&b, "| %s| %s | %s | %s |\n", number, f.fault, f.tests, f.guard)
		}
		b.WriteString("\n")
	}
	doctest.Current(t, "./test/arch", filepath.Join(repository, "docs/faults.md"), "faults", b.String())
}

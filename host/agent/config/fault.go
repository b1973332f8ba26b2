package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Faults are all that is wrong with one file, in the order of its lines. A file with any is refused whole.
type Faults []Fault

// Fault is one thing that is wrong, and what was expected.
type Fault struct {
	File         string // as given to Load; or the environment variable that holds what is wrong
	Line, Column int    // from 1; 0 in a variable
	Field        string // such as services[0].policy.bake; empty if the file cannot be read as YAML
	Given        string // what is there, quoted; may be empty, and is for what may be secret
	Expected     string // what to write instead
}

// Error is a line for each fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i, one := range f {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// String is FILE:LINE:COLUMN: FIELD: GIVEN: EXPECTED, without what is not known.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	for _, part := range []string{f.Field, f.Given, f.Expected} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	return b.String()
}

func (f Faults) sorted() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(f)
}

// nearest is the known word that was probably meant; empty if none is near.
func nearest(word string, known []string) string {
	best, least := "", 1+len(word)/3
	for _, k := range known {
		if d := distance(word, k); d <= least && (best == "" || d < distance(word, best)) {
			best = k
		}
	}
	return best
}

// distance is Levenshtein's: how many letters must be put in, taken out or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := before
			if a[i] != b[j] {
				changed++
			}
			before = row[j+1]
			row[j+1] = min(changed, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}

// oneOf tells which words are expected.
func oneOf(word string, known []string) string {
	if meant := nearest(word, known); meant != "" {
		return fmt.Sprintf("did you mean %s?", meant)
	}
	if len(known) == 0 {
		return "leave it out"
	}
	return "give one of " + strings.Join(known, ", ")
}

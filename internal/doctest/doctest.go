// Package doctest holds what a document takes from the code to what the code says.
package doctest

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite what the documents take from the code")

// Current compares the part of a document that stands between the markers of that name with want, or, with -update, writes it
// there. The marker says how: run is the package for "go test".
func Current(t *testing.T, run, file, name, want string) {
	t.Helper()
	begin, end := "<!-- "+name+": go test "+run+" -run Current -update -->\n", "<!-- end of "+name+" -->\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(b), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s: no lines\n%s%s", file, begin, end)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s: %s is not what the code says: go test %s -run Current -update\nit says\n%s\nthe code says\n%s", file, name, run, got, want)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

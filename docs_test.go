package handover

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite what the documents take from the code")

// current holds the part of a document that stands between the markers of that name to what the code says, or, with
// -update, writes it there.
func current(t *testing.T, file, name, want string) {
	t.Helper()
	begin, end := "<!-- "+name+": go test . -run Current -update -->\n", "<!-- end of "+name+" -->\n"
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
		t.Errorf("%s: %s is not what the code says: go test . -run Current -update\nit says\n%s\nthe code says\n%s", file, name, got, want)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// defaults is the configuration of a program that sets nothing, in an environment that sets nothing.
func defaults(t *testing.T) Config {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "HANDOVER") {
			t.Setenv(name, "")
		}
	}
	c, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// short is a duration without the units of which there are none.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

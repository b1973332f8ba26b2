package arch

import (
	"go/build/constraint"
	"strings"
	"testing"
)

func TestTestsWaitForEventsAndSkipNothing(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.isTest() {
			continue
		}
		clock := f.nameOf("time")
		for x, sel := range f.selections() {
			sleeps := x == clock && sel.Sel.Name == "Sleep"
			skips := isTester(x) && strings.HasPrefix(sel.Sel.Name, "Skip")
			if (sleeps || skips) && !f.explained(sel) {
				t.Errorf("%s:%d: %s.%s without a comment that gives the reason", f.path, f.line(sel), x, sel.Sel.Name)
			}
		}
	}
}

// `make test` runs anywhere, `make test-all` adds what needs root and Debian's packages: the folder and the tag agree,
// so that no test runs twice, and none never.
func TestTestsThatNeedDebianAreKeptApart(t *testing.T) {
	for _, f := range goFiles(t) {
		if !f.isTest() {
			continue
		}
		if inFolder := within(f.dir(), "test/debian"); inFolder != f.requires("debian") {
			t.Errorf("%s: in test/debian: %t, but built only with the tag debian: %t", f.path, inFolder, !inFolder)
		}
	}
}

// requires reports whether the file is built only with a tag, all others being set.
func (f file) requires(tag string) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if c.Pos() > f.Package || !constraint.IsGoBuild(c.Text) {
				continue
			}
			expr, err := constraint.Parse(c.Text)
			return err == nil && !expr.Eval(func(t string) bool { return t != tag })
		}
	}
	return false
}

func isTester(name string) bool { return name == "t" || name == "b" || name == "f" || name == "tb" }

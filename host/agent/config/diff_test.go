package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDiffNamesWhatChangedAndWhatItNeeds(t *testing.T) {
	dir := world(t)
	const before = `
state: /var/lib/a
services:
  - {name: shop, command: [DIR/server], policy: {bake: 1m}, health: {path: /a}}
  - {name: chat, command: [DIR/server], listen: [":9000"]}
  - {name: mail, command: [DIR/server]}
  - {name: gone, command: [DIR/server]}
`
	const after = `
state: /var/lib/a
services:
  - {name: new, command: [DIR/server]}
  - {name: mail, command: [DIR/server], policy: {stop_timeout: 90s}, args: []}
  - {name: chat, command: [DIR/server], listen: [":9001"]}
  - {name: shop, command: [DIR/server], policy: {bake: 2m}, health: {path: /b}}
`
	old := good(t, dir, before)
	c := Diff(old, good(t, dir, after))
	if len(c.Added) != 1 || c.Added[0].Name != "new" || len(c.Removed) != 1 || c.Removed[0].Name != "gone" {
		t.Errorf("added %v, removed %v", c.Added, c.Removed)
	}
	want := []Change{{"chat", []Field{{"listen", NeedsStop}}, NeedsStop}, {"shop", []Field{{"health", NeedsStop}, {"policy.bake", NeedsNothing}}, NeedsStop}}
	if !reflect.DeepEqual(c.Changed, want) {
		t.Errorf("changed %v, want %v", c.Changed, want)
	}
	if same := Diff(old, good(t, dir, before)); !same.None() {
		t.Errorf("the same file changed %+v", same)
	}
	const plain = `
services:
  - {name: one, command: [DIR/server], ARGS policy: {probation: 1s}}
  - {name: two, command: [DIR/server], ARGS policy: {probation: 1s}, listen: [":1"]}
  - {name: three, command: [DIR/server], ARGS policy: {probation: 1s}, listen: [":2"], strategy: nginx}
`
	c = Diff(good(t, dir, strings.ReplaceAll(plain, "ARGS", "")), good(t, dir, strings.NewReplacer("1s", "2s", "ARGS", "args: [-v],").Replace(plain)))
	want = []Change{
		{"one", []Field{{"args", NeedsUpgrade}, {"policy.probation", NeedsUpgrade}}, NeedsUpgrade},
		{"two", []Field{{"args", NeedsUpgrade}, {"policy.probation", NeedsStop}}, NeedsStop},
		{"three", []Field{{"args", NeedsStop}, {"policy.probation", NeedsStop}}, NeedsStop},
	}
	if !reflect.DeepEqual(c.Changed, want) || !slices.Equal(c.Changed[1].With(NeedsStop), []string{"policy.probation"}) {
		t.Errorf("changed %v, want %v", c.Changed, want)
	}
	moved := good(t, dir, before)
	moved.State, moved.Control.Access.Admins = "/srv", []string{"uid:5"}
	if got, want := Diff(old, moved).Agent, (Change{"", []Field{{"state", NeedsAgent}, {"control.access", NeedsReload}}, NeedsAgent}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEveryFieldSaysWhatAChangeOfItNeeds(t *testing.T) {
	for _, row := range rows(t) {
		if _, ok := ofTag[row.needs]; !ok && row.needs != "identity" && row.field != "services" {
			t.Errorf("%s: needs %q", row.field, row.needs)
		}
	}
}

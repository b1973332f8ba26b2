package config

import (
	"reflect"
	"slices"
)

// Need is what must be done for a change to hold.
type Need string

// The needs, from the least. Each includes those before it.
const (
	NeedsNothing Need = "nothing"          // it is read when it is next used
	NeedsReload  Need = "reload"           // the agent's own checks, watches and listeners are begun anew; nothing of the service
	NeedsUpgrade Need = "upgrade"          // and a successor must be started, which loses nothing
	NeedsStop    Need = "stop"             // the service must be stopped and started: it is the keeper's, or no successor can have it from its incumbent
	NeedsAgent   Need = "restart-of-agent" // of a field that is no part of a service
)

// ofTag is what the tags in Config say.
var ofTag = map[string]Need{
	"nothing": NeedsNothing, "reload": NeedsReload, "upgrade": NeedsUpgrade, "stop": NeedsStop, "agent": NeedsAgent,
}

var needs = []Need{NeedsNothing, NeedsReload, NeedsUpgrade, NeedsStop, NeedsAgent}

// Changes are what leads from one Config to another.
type Changes struct {
	Agent          Change // of what is no part of a service; no fields if there is none
	Added, Removed []Service
	Changed        []Change
}

// Change is what is different in one service.
type Change struct {
	Name   string // of the service; empty for the agent
	Fields []Field
	Needs  Need // the greatest that any field has
}

// Field is one that is different, and what it needs.
type Field struct {
	Name  string // such as policy.probation
	Needs Need
}

// With are the names of the fields that have a need.
func (c Change) With(need Need) (names []string) {
	for _, f := range c.Fields {
		if f.Needs == need {
			names = append(names, f.Name)
		}
	}
	return names
}

// None reports whether both were the same.
func (c Changes) None() bool {
	return len(c.Agent.Fields) == 0 && len(c.Added) == 0 && len(c.Removed) == 0 && len(c.Changed) == 0
}

// Diff compares two configurations. Services are the same if they have the same name; their order does not matter.
func Diff(before, after Config) Changes {
	var c Changes
	c.Agent.Needs = NeedsNothing
	compare(reflect.ValueOf(before), reflect.ValueOf(after), "", &c.Agent)
	for _, s := range before.Services {
		if !slices.ContainsFunc(after.Services, s.named) {
			c.Removed = append(c.Removed, s)
		}
	}
	for _, s := range after.Services {
		i := slices.IndexFunc(before.Services, s.named)
		if i < 0 {
			c.Added = append(c.Added, s)
			continue
		}
		change := Change{Name: s.Name, Needs: NeedsNothing}
		compare(reflect.ValueOf(before.Services[i]), reflect.ValueOf(s), "", &change)
		change.inKeeper(s)
		if len(change.Fields) > 0 {
			c.Changed = append(c.Changed, change)
		}
	}
	return c
}

// keepers are fields that the keeper of a program with listen needs for itself, and ofNginx are those that nginx passes on to its next master as it
// has them.
var (
	keepers = []string{"policy.probation", "policy.drain_timeout"}
	ofNginx = []string{"args", "env", "limits", "directory"}
)

// inKeeper raises what fields need that the next process of a service does not bring along.
func (c *Change) inKeeper(s Service) {
	for i, f := range c.Fields {
		if len(s.Listen) > 0 && slices.Contains(keepers, f.Name) || s.Strategy == strategies[0] && slices.Contains(ofNginx, f.Name) {
			c.Fields[i].Needs, c.Needs = NeedsStop, NeedsStop
		}
	}
}

func (s Service) named(other Service) bool { return s.Name == other.Name }

// compare goes through fields; one with a tag is compared as a whole.
func compare(before, after reflect.Value, field string, into *Change) {
	for i := range before.NumField() {
		f := before.Type().Field(i)
		inner := join(field, f.Tag.Get("yaml"))
		need, leaf := ofTag[f.Tag.Get("needs")]
		if !leaf {
			if f.Type.Kind() == reflect.Struct {
				compare(before.Field(i), after.Field(i), inner, into)
			}
			continue
		}
		if same(before.Field(i), after.Field(i)) {
			continue
		}
		into.Fields = append(into.Fields, Field{inner, need})
		if slices.Index(needs, need) > slices.Index(needs, into.Needs) {
			into.Needs = need
		}
	}
}

// same takes an empty list for none.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Slice, reflect.Map:
		if a.Len() == 0 && b.Len() == 0 {
			return true
		}
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

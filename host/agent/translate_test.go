package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/agent/config"
)

// elsewhere are fields that the agent itself obeys, and who does.
var elsewhere = map[string]string{
	"after":            "core.mayStart, suspend",
	"watch":            "core.watch",
	"release.interval": "core.watchSource",
	"hooks":            "core.hook, hooks.Runner",
}

// TestEveryFieldOfAServiceReachesItsSupervisor sets each field to another than its default, and looks for a difference in what a supervisor is told.
// What that makes of it holds TestEveryFieldReachesTheKeeper in host/supervise.
func TestEveryFieldOfAServiceReachesItsSupervisor(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "ci.pub")
	if err := os.WriteFile(key, []byte("untrusted comment: test\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	set := map[string]any{
		"user": "0", "groups": []string{"0"}, "release.keys": []string{key}, "listen": []string{":1"}, "strategy": "nginx", "stop_signal": "HUP",
		"release.source": "/srv/shop", "checks[].http": "http://127.0.0.1:2/b", "checks[].body": "well", "checks[].grpc": "127.0.0.1:2", "checks[].tcp": "127.0.0.1:2",
	}
	k := &core{agent: &agent{}}
	said := func(s config.Service) string {
		sc, err := k.translate(config.Config{Runtime: dir, State: dir, Log: dir, Control: config.Control{Socket: dir + "/a/s"}}, s)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		return describeAll(reflect.ValueOf(sc))
	}
	found := 0
	walk(reflect.TypeFor[config.Service](), "", nil, func(field string, path []int) {
		if owner, ok := elsewhere[strings.SplitN(field, "[", 2)[0]]; ok && owner != "" {
			return
		}
		found++
		one, other := full(), full()
		values := targets(reflect.ValueOf(&other).Elem(), path)
		for _, v := range values {
			if to, ok := set[field]; ok {
				v.Set(reflect.ValueOf(to))
			} else {
				change(t, field, v)
			}
		}
		if said(one) == said(other) {
			t.Errorf("%s: nothing of it reaches the supervisor", field)
		}
	})
	if found < 70 {
		t.Errorf("only %d fields were found", found)
	}
}

// full is a service with a check of each kind, so that each field of a check belongs to one.
func full() config.Service {
	check := config.Check{Interval: time.Second, Timeout: time.Second, Failures: 3}
	s := config.Service{Name: "shop", Command: []string{"/bin/true"}, Directory: "/srv"}
	for _, c := range []config.Check{
		{HTTP: "http://127.0.0.1:1/a"}, {GRPC: "127.0.0.1:1"}, {TCP: "127.0.0.1:1"}, {Exec: []string{"/bin/true"}}, {Heartbeat: true}, {Version: true},
	} {
		c.Name, c.Interval, c.Timeout, c.Failures = c.Kind(), check.Interval, check.Timeout, check.Failures
		s.Checks = append(s.Checks, c)
	}
	return s
}

// walk calls f for each field that is no struct of fields itself.
func walk(in reflect.Type, field string, path []int, f func(field string, path []int)) {
	for i := range in.NumField() {
		sf := in.Field(i)
		name := strings.TrimPrefix(field+"."+sf.Tag.Get("yaml"), ".")
		at := append(slices.Clone(path), i)
		switch {
		case sf.Type.Kind() == reflect.Struct:
			walk(sf.Type, name, at, f)
		case sf.Type.Kind() == reflect.Slice && sf.Type.Elem().Kind() == reflect.Struct && name != "checks[].status":
			walk(sf.Type.Elem(), name+"[]", append(at, -1), f)
		default:
			f(name, at)
		}
	}
}

// targets are the fields at a path: in a list, those of every element that is to have it.
func targets(v reflect.Value, path []int) []reflect.Value {
	if len(path) == 0 {
		return []reflect.Value{v}
	}
	if path[0] >= 0 {
		return targets(v.Field(path[0]), path[1:])
	}
	var all []reflect.Value
	for i := range v.Len() {
		for _, inner := range targets(v.Index(i), path[1:]) {
			if kinds := []string{"HTTP", "GRPC", "TCP", "Exec", "Heartbeat", "Version"}; slices.Contains(kinds, v.Type().Elem().Field(path[1]).Name) && inner.IsZero() {
				continue // another kind of check
			}
			all = append(all, inner)
		}
	}
	return all
}

// change makes it another.
func change(t *testing.T, field string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "/other")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + int64(time.Second))
	case reflect.Float64:
		v.SetFloat(v.Float() + 0.125)
	case reflect.Slice:
		more := reflect.New(v.Type().Elem()).Elem()
		if more.Kind() == reflect.String {
			more.SetString("other")
		} else {
			more.Set(reflect.ValueOf(config.StatusRange{From: 201, To: 202}))
		}
		v.Set(reflect.Append(v, more))
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		value := reflect.New(v.Type().Elem()).Elem()
		if value.Kind() == reflect.String {
			value.SetString("other")
		}
		m.SetMapIndex(reflect.ValueOf("nofile"), value)
		v.Set(m)
	default:
		t.Fatalf("%s: how is a %s changed?", field, v.Kind())
	}
}

// describeAll writes down a value with all that it leads to but functions and what they close over.
func describeAll(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return "nil"
		}
		return v.Elem().Type().String() + describeAll(v.Elem())
	case reflect.Struct:
		if e := v.FieldByName("expr"); e.IsValid() { // regexp.Regexp
			return e.String()
		}
		var b strings.Builder
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Logger" {
				continue
			}
			fmt.Fprintf(&b, "%s{%s} ", v.Type().Field(i).Name, describeAll(v.Field(i)))
		}
		return b.String()
	case reflect.Slice, reflect.Array:
		var b strings.Builder
		for i := range v.Len() {
			b.WriteString(describeAll(v.Index(i)) + ", ")
		}
		return b.String()
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return fmt.Sprint(v.IsNil())
	default:
		return fmt.Sprint(v)
	}
}

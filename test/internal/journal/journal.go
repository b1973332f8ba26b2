// Package journal reads the lines that a service writes.
package journal

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Says matches a line that has all parts.
func Says(parts ...string) func(line string) bool {
	return func(line string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) })
	}
}

// SaysAny matches a line that has one of the parts.
func SaysAny(parts ...string) func(line string) bool {
	return func(line string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(line, part) })
	}
}

// By is how a line of the process says who wrote it.
func By(pid int) string { return fmt.Sprintf(" from=%d ", pid) }

// Attribute returns what a line says of a key; "" if nothing.
func Attribute(line, key string) string {
	found := regexp.MustCompile(` ` + key + `=("(?:[^"\\]|\\.)*"|\S*)`).FindStringSubmatch(line)
	if found == nil {
		return ""
	}
	if text, err := strconv.Unquote(found[1]); err == nil {
		return text
	}
	return found[1]
}

// Number returns the number that a line says of a key.
func Number(t testing.TB, line, key string) int {
	t.Helper()
	n, err := strconv.Atoi(Attribute(line, key))
	if err != nil {
		t.Fatalf("no number %s in %q", key, line)
	}
	return n
}

// Written is when a line of the library's log was written, to the millisecond before.
func Written(t testing.TB, line string) time.Time {
	t.Helper()
	at, err := time.Parse("time="+time.RFC3339Nano, strings.Fields(line)[0])
	if err != nil {
		t.Fatal(err)
	}
	return at
}

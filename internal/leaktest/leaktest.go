// Package leaktest holds code to leaving nothing open behind it.
package leaktest

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// Twice does something two times, and fails the test if ten seconds after the second this process has more descriptors or goroutines than before it:
// what is opened once, by the first, is no leak. Nothing else may be under way.
func Twice(t *testing.T, do func()) {
	t.Helper()
	do()
	descriptors, goroutines := Descriptors(t), runtime.NumGoroutine()
	do()
	deadline := time.After(10 * time.Second)
	for Descriptors(t) > descriptors || runtime.NumGoroutine() > goroutines {
		select {
		case <-time.After(time.Millisecond): // the end of a goroutine is no event
		case <-deadline:
			t.Fatalf("%d descriptors, %d goroutines; before %d and %d", Descriptors(t), runtime.NumGoroutine(), descriptors, goroutines)
		}
	}
}

// Descriptors is how many this process has open, with the one that is opened to count them.
func Descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

package handovertest

import "testing"

// AssertNothingLost fails the test if a request or a connection was lost, even
// in a crash, or if the load proves nothing because it could not ask.
func AssertNothingLost(t testing.TB, r Report) {
	t.Helper()
	AssertLostInCrashOnly(t, r)
	if n := r.LostInCrash + r.Unwritten; n > 0 {
		t.Errorf("%d lost in a crash: %s", n, r)
	}
}

// AssertLostInCrashOnly is the same, but allows what was lost because the
// process that held the connection was killed, recorded or, in its last moment,
// not; see [Driver.Killed] and [Report].
func AssertLostInCrashOnly(t testing.TB, r Report) {
	t.Helper()
	switch {
	case r.Lost() > 0:
		t.Errorf("%d lost: %s", r.Lost(), r)
	case r.OwnFaults > 0 || r.LedgerError != "":
		t.Errorf("the load was hindered: %s", r)
	case r.OK == 0:
		t.Errorf("the load had no answer: %s", r)
	}
}

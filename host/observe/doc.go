// Package observe sees how a service is: it runs checks and reads what its processes use. What it sees comes back as values of
// package judge; it decides nothing.
//
// A check is a plain struct with a Validate that says what is wrong with it, and a Run that is bounded by the check's own Timeout and by
// its context, and leaves nothing behind: no connection, no process, no goroutine. Watch runs many of them, each at its own
// interval.
package observe

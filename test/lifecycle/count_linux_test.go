package lifecycle

import (
	"strconv"
	"strings"

	"github.com/handover-go/handover/handovertest"
)

// descriptors remembers how many descriptors the process that serves has, and returns a check that whoever serves then has no
// more.
func (r *run) descriptors() (same func()) {
	r.t.Helper()
	return r.counted("descriptors", func() func() int {
		pid := r.PID()
		return func() int {
			n, err := handovertest.OpenFDs(pid)
			must(r.t, err)
			return n
		}
	})
}

// goroutines does so for goroutines.
func (r *run) goroutines() (same func()) {
	r.t.Helper()
	return r.counted("goroutines", func() func() int {
		return func() int {
			n, err := strconv.Atoi(strings.Fields(r.get("/goroutines"))[1])
			must(r.t, err)
			return n
		}
	})
}

// counted remembers a number once it is the same twice: a connection that was closed just now may not be gone yet, so that later there may be
// fewer.
func (r *run) counted(what string, counter func() func() int) (same func()) {
	r.t.Helper()
	before := -1
	count := counter()
	r.Eventually("a settled number of "+what, func() (any, bool) {
		n := count()
		settled := n == before
		before = n
		return n, settled
	})
	return func() {
		r.t.Helper()
		count := counter()
		r.Eventually("no more than "+itoa(before)+" "+what, func() (any, bool) {
			n := count()
			return n, n <= before
		})
	}
}

//go:build debian

package h2load

import (
	"fmt"
	"testing"
)

// TestLostRequestIsToldFromOneThatWasNeverSent by lines as h2load 1.52 logs them.
func TestLostRequestIsToldFromOneThatWasNeverSent(t *testing.T) {
	const (
		answered  = "1795285838703518\t200\t21050\n"
		withdrawn = "0\t-1\t27301912345\n"
		lost      = "1795285838703518\t-1\t3083\n"
		refused   = "1795285838703518\t503\t900\n"
	)
	for name, c := range map[string]struct {
		log                      string
		started, done, succeeded int
		want                     Report
		bad                      bool
	}{
		"all answered":                           {answered + answered, 2, 2, 2, Report{2, 0, "h2"}, false},
		"one withdrawn":                          {answered + withdrawn, 2, 2, 1, Report{1, 1, "h2"}, false},
		"one lost":                               {answered + lost, 2, 2, 1, Report{}, true},
		"one answered badly":                     {answered + refused, 2, 2, 1, Report{}, true},
		"one in flight as its connection breaks": {answered, 2, 1, 1, Report{}, true},
		"none sent":                              {withdrawn, 1, 1, 0, Report{}, true},
	} {
		said := fmt.Sprintf("Application protocol: h2\nrequests: 9 total, %d started, %d done, %d succeeded, 1 failed, 1 errored, 0 timeout\n",
			c.started, c.done, c.succeeded)
		r, err := Read(said, c.log)
		if (err != nil) != c.bad || err == nil && r != c.want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

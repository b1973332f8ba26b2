package main

import (
	"fmt"
	"io"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// screen shows the demo as it goes.
type screen struct {
	w     io.Writer
	began time.Time
}

const columns = "%7s  %-5s  %-21s  %-52s %9s %9v %7v %7v %14v\n"

func (s *screen) title(address string) {
	fmt.Fprintf(s.w, "%d clients of every kind use a service on %s while it is replaced %d times, %d times by a bad build.\n",
		handovertest.Polite().Total(), address, len(plan)-1, len(plan)-1-planned(handover.Final))
	fmt.Fprintf(s.w, "First %s to %s are built.\n\n", plan[0].name, plan[len(plan)-1].name)
}

func (s *screen) head() {
	fmt.Fprintf(s.w, columns, "time", "build", "what it is", "what happened", "switch", "requests", "failed", "closed", "lost in crash")
}

// row shows what became of a build, and what its clients have seen until then.
func (s *screen) row(b build, what, happened, switched string, r handovertest.Report) {
	now := fmt.Sprintf("%.1f s", time.Since(s.began).Seconds())
	fmt.Fprintf(s.w, columns, now, b.name, what, happened, switched, r.Requests, failed(r), r.Closed, r.LostInCrash)
}

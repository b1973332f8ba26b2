package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/handovertest"
)

// summary is what all attempts came to.
type summary struct {
	report    handovertest.Report
	upgrades  int
	refused   int
	resumed   int
	switches  []time.Duration
	resumes   []time.Duration
	restart   time.Duration // from the death of the only generation until the next one served
	surprises []string      // builds of which became something else than planned
}

func (s *summary) count(b build, r result) {
	switch r.outcome {
	case handover.Final:
		s.upgrades++
		s.switches = append(s.switches, r.change)
	case handover.Aborted:
		s.refused++
	case handover.Resumed:
		s.resumed++
		s.resumes = append(s.resumes, r.back)
	}
	if r.outcome != b.want {
		s.surprises = append(s.surprises, fmt.Sprintf("%s (%s): %s, want %s: %s", b.name, b.what, r.outcome, b.want, r.why))
	}
}

// broken lists the promises that were not kept.
func (s summary) broken() (list []error) {
	for _, surprise := range s.surprises {
		list = append(list, errors.New(surprise))
	}
	for _, p := range []struct {
		what string
		n    int
	}{
		{"requests failed", s.report.Failed},
		{"connections were refused", s.report.Refused},
		{"answers were wrong", s.report.Wrong},
		{"answers came twice", s.report.Repeated},
		{"connections were closed", s.report.Closed},
		{"requests could not be sent, by the fault of this machine", s.report.OwnFaults},
	} {
		if p.n > 0 {
			list = append(list, fmt.Errorf("%d %s", p.n, p.what))
		}
	}
	if s.report.LedgerError != "" {
		list = append(list, errors.New("losses in a crash cannot be told from others: "+s.report.LedgerError))
	}
	if len(list) > 0 {
		list = append(list, errors.New(s.report.String()))
	}
	return list
}

// died is what was lost with a process that had accepted it, in its last moment perhaps without the time to note that.
func died(r handovertest.Report) int { return r.LostInCrash + r.Unwritten }

// failed is how many requests did not get their one right answer.
func failed(r handovertest.Report) int { return r.Failed + r.Wrong + r.Repeated }

// planned is how many attempts are to end in that way.
func planned(want handover.Outcome) (n int) {
	for _, b := range plan[1:] {
		if b.want == want {
			n++
		}
	}
	return n
}

func (s summary) writeText(w io.Writer) error {
	verdict := "Every promise was kept."
	if len(s.broken()) > 0 {
		verdict = "A promise was broken."
	}
	_, err := fmt.Fprintf(w, `
%s
  builds       %d upgrades, %d refused before the commit, %d taken back after it
  requests     %d on %d connections: %d failed, %d closed, %d refused a connection
  deaths       %d requests and connections lost, which the two that were taken back, and the one that was killed, had accepted
  switch       %s in the median, %s at most
  resume       %s at most
  restart      %s after kill -9 of the only generation, and nobody was refused meanwhile
  answers      %s at most from one to the next
`,
		verdict, s.upgrades, s.refused, s.resumed,
		s.report.Requests, s.report.Connections, failed(s.report), s.report.Closed, s.report.Refused, died(s.report),
		short(median(s.switches)), short(longest(s.switches)), short(longest(s.resumes)), short(s.restart), short(s.report.LongestGap))
	return err
}

// writeJSON writes one object. Counts are of handovers, requests and connections, times in milliseconds.
func (s summary) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Upgrades           int     `json:"upgrades"`
		Requests           int     `json:"requests"`
		Failed             int     `json:"failed"` // without their one right answer
		Closed             int     `json:"closed"`
		Refused            int     `json:"refused"` // builds, before the commit
		Resumed            int     `json:"resumed"` // builds, after it
		LostInCrash        int     `json:"lost_in_crash"`
		RefusedConnections int     `json:"refused_connections"`
		SwitchMedian       float64 `json:"switch_ms_median"`
		ResumeMax          float64 `json:"resume_ms_max"`
		Restart            float64 `json:"restart_ms"`
	}{
		s.upgrades, s.report.Requests, failed(s.report), s.report.Closed, s.refused, s.resumed, died(s.report),
		s.report.Refused, milliseconds(median(s.switches)), milliseconds(longest(s.resumes)), milliseconds(s.restart),
	})
}

func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

func longest(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	return slices.Max(d)
}

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/scenario"
	"github.com/handover-go/handover/bench/service"
	"github.com/handover-go/handover/bench/table"
	"github.com/handover-go/handover/handovertest"
)

// report is the table, what it was made on, and the figures that only handover has.
func (bm *benchmark) report(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, in %s.\n\n`%s`: %d rounds; %d clients, each %d turns a second.\n\n", bm.began.Format(time.DateOnly), machine(),
		bm.took.Round(time.Second), command, bm.plan.rounds, scenario.Clients().Total(), scenario.Rate)
	b.WriteString(bm.table().String())
	b.WriteString("\n")
	for _, m := range bm.missing {
		fmt.Fprintf(&b, "Left out: %s\n\n", m)
	}
	for _, r := range bm.results {
		for _, t := range r.Trouble {
			fmt.Fprintf(&b, "Not finished: %s\n\n", strings.SplitN(t, "\n", 2)[0])
		}
	}
	if own := bm.own(); len(own.Rows) > 0 {
		b.WriteString(own.String())
	}
	return b.String()
}

// kinds are the clients of the load whose losses are told apart.
var kinds = []string{"KeepAlive", "New", "Slow", "Continue", "Pipelined", "Dribble", "Silent", "Idle"}

func (bm *benchmark) table() *table.Table {
	t := &table.Table{Columns: []string{""}}
	for _, r := range bm.results {
		t.Columns = append(t.Columns, r.Subject.Name)
	}
	row := func(name string, cell func(r *scenario.Result) string) {
		cells := []string{name}
		for _, r := range bm.results {
			cells = append(cells, cell(r))
		}
		t.Add(cells...)
	}
	row("version", func(r *scenario.Result) string { return r.Subject.Version })
	row("upgraded by", func(r *scenario.Result) string { return r.Subject.How })
	row("upgrades under load; requests", func(r *scenario.Result) string { return fmt.Sprintf("%d; %d", r.Upgrades, r.Requests) })
	row("load and service, share of all processors", func(r *scenario.Result) string {
		if len(r.Busy) == 0 {
			return none
		}
		return fmt.Sprintf("%.0f %%", 100*measure.Median(r.Busy))
	})
	row("**failed requests per 100 upgrades**", func(r *scenario.Result) string { return per100(r, "", failed...) })
	row("**closed connections per 100 upgrades**", func(r *scenario.Result) string { return per100(r, "", closed...) })
	row("of these announced by `Connection: close`", func(r *scenario.Result) string { return per100(r, "", handovertest.ClosedPolite) })
	for _, kind := range kinds {
		row("failed / closed: "+kind, func(r *scenario.Result) string {
			return per100(r, kind, failed...) + " / " + per100(r, kind, closed...)
		})
	}
	row("**longest gap at the switch, ms: median / max**", func(r *scenario.Result) string { return medianMax(r.Gaps) })
	row("the same without an upgrade", func(r *scenario.Result) string { return medianMax(r.Control) })
	row("switch by its own log, ms: median / max", func(r *scenario.Result) string { return medianMax(r.Switches) })
	row("**latency in the window, ms: p50 / p99 / p99.9**", func(r *scenario.Result) string { return quantiles(r.Window) })
	row("latency when steady", func(r *scenario.Result) string { return quantiles(r.Steady) })
	row("p99.9 in the window to steady", func(r *scenario.Result) string { return p999Ratio(r) })
	row("**throughput to plain net/http: median (quartiles)**", func(r *scenario.Result) string {
		if len(r.Ratio) == 0 {
			return none
		}
		return fmt.Sprintf("%.3f (%.3f–%.3f)", measure.Median(r.Ratio), measure.Quantile(r.Ratio, 0.25), measure.Quantile(r.Ratio, 0.75))
	})
	row("answers a second", func(r *scenario.Result) string { return one(r.PerSecond, "%.0f") })
	row("**CPU per request, µs; to plain net/http**", func(r *scenario.Result) string {
		return one(r.CPU, "%.1f") + "; " + one(r.CPURatio, "%.2f")
	})
	row("**allocations per request**", func(r *scenario.Result) string { return one(r.Allocations, "%.2f") })
	row("**memory in the overlap, MiB: peak; before**", func(r *scenario.Result) string {
		return memory(r, func(m measure.Memory) int { return m.Proportional })
	})
	row("of it anonymous", func(r *scenario.Result) string {
		return memory(r, func(m measure.Memory) int { return m.Anonymous })
	})
	row("**old process gone, ms: median / max**", func(r *scenario.Result) string { return medianMax(r.Gone) })
	row("**served again after kill -9, ms: median / max**", func(r *scenario.Result) string {
		if r.Never > 0 {
			return "never"
		}
		return medianMax(r.Restarted)
	})
	for _, f := range []service.Fault{service.Exits, service.Hangs, service.Crashes} {
		row("**bad build that "+string(f)+"**: lost; who serves", func(r *scenario.Result) string { return bad(r, f) })
	}
	return t
}

// own are the figures of handover alone.
func (bm *benchmark) own() *table.Table {
	t := &table.Table{Columns: []string{"what only handover has", "figure"}}
	for _, r := range bm.results {
		if len(r.Keeper) > 0 {
			t.Add("anonymous memory of the keeper, MiB: median / max", mebibytes(measure.Median(r.Keeper))+" / "+mebibytes(slices.Max(r.Keeper)))
		}
	}
	s := bm.signals
	if len(s.Asked) == 0 {
		return t
	}
	t.Add(fmt.Sprintf("upgrade requests answered a second at the takeover socket, to one client; to %d (published elsewhere: 12,800)", scenario.Askers),
		one(s.Alone, "%.0f")+"; "+one(s.Crowded, "%.0f"))
	t.Add("time to such an answer, µs: p50 / p99 / p99.9 (published elsewhere: p99 47)", micros(s.Asked))
	t.Add("the same of a bare Go program that gives back what comes", micros(s.BareAsked))
	t.Add("from SIGUSR2 to the decision that one is under way, µs: p50 / p99 / p99.9", micros(s.Refused))
	t.Add("the same of a bare Go program that logs signals", micros(s.BareTold))
	t.Add("from SIGUSR2 to the start of the successor, µs: p50 / p99 / p99.9", micros(s.Begun))
	p := bm.probation
	t.Add(fmt.Sprintf("successor killed in probation, %d times: ms until served again: p50 / p99 / max", len(p.Served)), millis(p.Served))
	t.Add("until the kernel had ended the killed process", millis(p.Dead))
	t.Add("until the incumbent had it in its log that it serves again", millis(p.Said))
	q := bm.request
	t.Add("served request beside plain net/http in one process: ratio (min–max); allocations",
		fmt.Sprintf("%.3f (%.3f–%.3f); %.2f and %.2f", measure.Median(q.Ratio), slices.Min(q.Ratio), slices.Max(q.Ratio), measure.Median(q.OurAllocated), measure.Median(q.PlainAllocated)))
	m := bm.migration
	t.Add(fmt.Sprintf("%d idle connections moved, each answers afterwards", m.Connections),
		fmt.Sprintf("%s, %.0f a second", m.Took.Round(time.Millisecond), float64(m.Connections)/m.Took.Seconds()))
	return t
}

const none = "–"

var (
	failed = []handovertest.Outcome{handovertest.Failed, handovertest.Refused, handovertest.Wrong, handovertest.Repeated}
	closed = []handovertest.Outcome{handovertest.Closed, handovertest.ClosedPolite}
)

func per100(r *scenario.Result, kind string, outcomes ...handovertest.Outcome) string {
	if r.Upgrades == 0 {
		return none
	}
	return fmt.Sprintf("%.0f", measure.Per100(r.Count(kind, outcomes...), r.Upgrades))
}

func medianMax(values []time.Duration) string {
	if len(values) == 0 {
		return none
	}
	return ms(measure.Median(values)) + " / " + ms(slices.Max(values))
}

func quantiles(h *hdrhistogram.Histogram) string {
	if h.TotalCount() == 0 {
		return none
	}
	p50, p99, p999 := measure.Quantiles(h)
	return ms(p50) + " / " + ms(p99) + " / " + ms(p999)
}

func p999Ratio(r *scenario.Result) string {
	_, _, steady := measure.Quantiles(r.Steady)
	_, _, window := measure.Quantiles(r.Window)
	if steady == 0 || window == 0 {
		return none
	}
	return fmt.Sprintf("%.2f", float64(window)/float64(steady))
}

func memory(r *scenario.Result, which func(measure.Memory) int) string {
	if len(r.Peak) == 0 {
		return none
	}
	pick := func(all []measure.Memory) (n []int) {
		for _, m := range all {
			n = append(n, which(m))
		}
		return n
	}
	return mebibytes(slices.Max(pick(r.Peak))) + "; " + mebibytes(measure.Median(pick(r.Single)))
}

func bad(r *scenario.Result, f service.Fault) string {
	b, ok := r.Bad[f]
	if !ok {
		return none
	}
	return fmt.Sprintf("%d of %d, %d closed; %s", b.Failed+b.Refused, b.Asked, b.Closed, b.Served)
}

func one(values []float64, format string) string {
	if len(values) == 0 {
		return none
	}
	return fmt.Sprintf(format, measure.Median(values))
}

// ms has three digits that count.
func ms(d time.Duration) string {
	v := float64(d) / float64(time.Millisecond)
	switch {
	case v < 1:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func micros(values []time.Duration) string {
	at := func(q float64) string {
		return fmt.Sprintf("%.0f", float64(measure.Quantile(values, q))/float64(time.Microsecond))
	}
	return at(0.5) + " / " + at(0.99) + " / " + at(0.999)
}

func millis(values []time.Duration) string {
	return ms(measure.Median(values)) + " / " + ms(measure.Quantile(values, 0.99)) + " / " + ms(measure.Quantile(values, 1))
}

func mebibytes(n int) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }

package judge_test

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/host/judge"
)

var start = time.Unix(1e9, 0)

// calm is a policy without comparisons, for what is judged by itself.
func calm(p judge.Policy) judge.Policy {
	p.Errors.Off, p.Latency.Off = true, true
	return p
}

// hear gives a case its observations, five seconds apart, and returns the last verdict and the case.
func hear(c judge.Case, all ...judge.Observation) (judge.Case, judge.Verdict) {
	var v judge.Verdict
	for i, o := range all {
		o.At = start.Add(time.Duration(i) * 5 * time.Second)
		c, v = c.With(o)
	}
	return c, v
}

func outcome(ok bool) judge.Observation {
	return judge.Observation{Checks: []judge.Check{{Name: "ready", OK: ok, Detail: "GET /ready: status 503"}}}
}

func rss(bytes uint64) judge.Observation {
	return judge.Observation{Resources: judge.Resources{Known: judge.KnownRSS, RSS: bytes}}
}

func times(n int, o judge.Observation) (all []judge.Observation) {
	for range n {
		all = append(all, o)
	}
	return all
}

func TestVerdictOnWhatIsJudgedByItself(t *testing.T) {
	good, bad := outcome(true), outcome(false)
	of := judge.Baseline{Resources: judge.Resources{Known: judge.KnownRSS, RSS: 100 << 20}}
	alive := func(age time.Duration) judge.Observation {
		return judge.Observation{Heartbeat: judge.Heartbeat{Known: true, At: start.Add(-age)}}
	}
	for _, c := range []struct {
		name     string
		policy   judge.Policy
		baseline judge.Baseline
		heard    []judge.Observation
		want     judge.Decision
		reason   string
	}{
		{"nothing", judge.Policy{}, of, nil, judge.Inconclusive, "nothing was observed"},
		{"good checks", judge.Policy{}, of, times(3, good), judge.Pass, "check ready: good"},
		{"two failures in a row", judge.Policy{}, of, []judge.Observation{bad, bad, good, bad, bad, good}, judge.Pass, "check ready: good"},
		{"three failures in a row", judge.Policy{}, of, []judge.Observation{good, bad, bad, bad, good}, judge.Fail, "check ready: failed 3 in a row, the last: GET /ready: status 503"},
		{"still failing at the end", judge.Policy{}, of, []judge.Observation{good, bad}, judge.Inconclusive, "failed 1 in a row"},
		{"a failure, and one is enough", judge.Policy{Failures: 1}, of, []judge.Observation{good, bad, good}, judge.Fail, "failed 1 in a row"},
		{"a check with its own number", judge.Policy{}, of, times(2, judge.Observation{Checks: []judge.Check{{Name: "x", Failures: 2}}}), judge.Fail, "check x"},
		{"three outcomes in one observation", judge.Policy{}, of, []judge.Observation{{Checks: []judge.Check{{Name: "x"}, {Name: "x"}, {Name: "x"}, {Name: "x", OK: true}}}}, judge.Fail, "check x: failed 3"},
		{"the promised version", judge.Policy{Version: "1.2"}, of, []judge.Observation{{Version: "1.2"}}, judge.Pass, `version "1.2"`},
		{"another version", judge.Policy{Version: "1.2"}, of, []judge.Observation{{Version: "1.1"}}, judge.Fail, `version "1.1" is reported, "1.2" was promised`},
		{"no version", judge.Policy{Version: "1.2"}, of, []judge.Observation{{}}, judge.Inconclusive, "not reported"},
		{"a restart", judge.Policy{}, of, []judge.Observation{{Restarts: 1}}, judge.Fail, "restarts: 1, tolerated 0"},
		{"a restart that is tolerated", judge.Policy{Restarts: 1}, of, []judge.Observation{{Restarts: 1}}, judge.Pass, "restarts: 1, tolerated 1"},
		{"a heartbeat", judge.Policy{HeartbeatAge: 20 * time.Second}, of, times(4, alive(time.Second)), judge.Pass, "heartbeat"},
		{"an old heartbeat", judge.Policy{HeartbeatAge: 20 * time.Second}, of, times(4, alive(time.Minute)), judge.Fail, "1m10s old, 20s is allowed"},
		{"no heartbeat", judge.Policy{HeartbeatAge: 20 * time.Second}, of, times(4, judge.Observation{}), judge.Inconclusive, "never heard"},
		{"below a ceiling", judge.Policy{RSS: judge.Ceiling{Max: 200 << 20}}, of, times(3, rss(199<<20)), judge.Pass, "rss 199.0 MiB"},
		{"over a ceiling for a moment", judge.Policy{RSS: judge.Ceiling{Max: 200 << 20}}, of, []judge.Observation{rss(201 << 20), rss(300 << 20), rss(199 << 20)}, judge.Pass, "rss"},
		{"over a ceiling", judge.Policy{RSS: judge.Ceiling{Max: 200 << 20}}, of, times(3, rss(201<<20)), judge.Fail, "rss 201.0 MiB, allowed are 200.0 MiB (incumbent 100.0 MiB): over it, 3 in a row"},
		{"half as much again as the incumbent", judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}, of, times(3, rss(151<<20)), judge.Fail, "allowed are 150.0 MiB"},
		{"the lower of two bounds", judge.Policy{RSS: judge.Ceiling{Max: 120 << 20, Ratio: 1.5}}, of, times(3, rss(130<<20)), judge.Fail, "allowed are 120.0 MiB"},
		{"a little more than a small incumbent", judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}, judge.Baseline{Resources: judge.Resources{Known: judge.KnownRSS, RSS: 4 << 20}}, times(3, rss(19<<20)), judge.Pass, "rss"},
		{"an unknown incumbent", judge.Policy{RSS: judge.Ceiling{Ratio: 1.5}}, judge.Baseline{}, times(3, rss(151<<20)), judge.Inconclusive, "of the incumbent is not known"},
		{"what cannot be read", judge.Policy{FDs: judge.Ceiling{Max: 100}}, of, times(3, rss(1)), judge.Inconclusive, "descriptors could not be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, last := hear(judge.New(calm(c.policy), c.baseline), c.heard...)
			v := k.Close()
			if v.Decision != c.want || !strings.Contains(v.Reason, c.reason) || strings.Contains(v.Reason, "\n") {
				t.Errorf("%s: %q, want %s: %q", v.Decision, v.Reason, c.want, c.reason)
			}
			if c.heard != nil && (last.Decision == judge.Fail) != (c.want == judge.Fail) {
				t.Errorf("the last observation led to %s, the end to %s", last.Decision, v.Decision)
			}
		})
	}
}

// traffic is a cumulative reading: so many requests, of them errors, each of the same length.
func traffic(requests, errors uint64, each time.Duration) judge.Traffic {
	t := judge.Traffic{Requests: requests, Errors: errors}
	for range requests {
		t.Latency.Add(each)
	}
	return t
}

func TestNoTrafficIsInconclusive(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(1000, 10, time.Millisecond)}
	c, _ := hear(judge.New(judge.Policy{}, of), judge.Observation{}, judge.Observation{})
	if v := c.Close(); v.Decision != judge.Inconclusive || !strings.Contains(v.Reason, "errors: 0 requests, 50 are needed") {
		t.Errorf("%s: %q", v.Decision, v.Reason)
	}
	c, _ = hear(judge.New(judge.Policy{}, judge.Baseline{}), judge.Observation{Traffic: traffic(100, 100, time.Second)})
	if v := c.Close(); v.Decision != judge.Inconclusive || !strings.Contains(v.Reason, "0 requests of the incumbent") {
		t.Errorf("%s: %q", v.Decision, v.Reason)
	}
}

// growing is one interval after another of the same traffic.
func growing(n int, requests, errors uint64, each time.Duration) (all []judge.Observation) {
	for i := range uint64(n) {
		all = append(all, judge.Observation{Traffic: traffic((i+1)*requests, (i+1)*errors, each)})
	}
	return all
}

func TestErrorsFailWhatIsWorseThanTheIncumbent(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(10000, 100, time.Millisecond)}
	_, v := hear(judge.New(judge.Policy{}, of), growing(5, 500, 25, time.Millisecond)...)
	if v.Decision != judge.Fail || !strings.HasPrefix(v.Reason, "errors 5 % of 2000 requests, incumbent 1 % of 10000, from 2.05 % on it fails (without the worst intervals 2.5 %, allowed 1.5 %; p ") {
		t.Errorf("%s: %q", v.Decision, v.Reason)
	}
	_, v = hear(judge.New(judge.Policy{}, of), growing(5, 500, 6, time.Millisecond)...)
	if v.Decision != judge.Undecided {
		t.Errorf("1.2 percent against 1: %s: %q", v.Decision, v.Reason)
	}
}

// At the share that is said to fail a release fails, and with one error less it does not.
func TestSmallestShareThatFailsIsTold(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(3000, 30, time.Millisecond)}
	policy := judge.Policy{Failures: 1, Latency: judge.Latency{Off: true}}
	try := func(errors uint64) judge.Evidence {
		_, v := hear(judge.New(policy, of), judge.Observation{Traffic: traffic(300, errors, time.Millisecond)})
		return v.Evidence[len(v.Evidence)-1]
	}
	least := uint64(math.Round(try(0).Detectable * 300))
	if least < 4 || least > 30 || try(least).Outcome != judge.Fail || try(least-1).Outcome != judge.Pass {
		t.Errorf("%d errors of 300 are said to fail: %+v, one less: %+v", least, try(least), try(least-1))
	}
}

func TestLatencyFailsWhatIsSlowerThanTheIncumbent(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(10000, 0, 20*time.Millisecond)}
	_, v := hear(judge.New(judge.Policy{}, of), growing(7, 500, 0, 40*time.Millisecond)...)
	if v.Decision != judge.Fail || !strings.HasPrefix(v.Reason, "latency p95 ") {
		t.Errorf("%s: %q", v.Decision, v.Reason)
	}
	c, _ := hear(judge.New(judge.Policy{}, of), growing(7, 500, 0, 20*time.Millisecond)...)
	if v = c.Close(); v.Decision != judge.Pass {
		t.Errorf("as fast as the incumbent: %s: %q", v.Decision, v.Reason)
	}
}

func TestSlowBeginningIsWarmUp(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(10000, 0, 20*time.Millisecond)}
	all := growing(6, 500, 0, time.Second)
	for i := range uint64(10) {
		all = append(all, judge.Observation{Traffic: all[5].Traffic.Merge(traffic(100*(i+1), 0, 20*time.Millisecond))})
	}
	for warmup, want := range map[time.Duration]judge.Decision{30 * time.Second: judge.Pass, -1: judge.Fail} {
		c, _ := hear(judge.New(judge.Policy{Latency: judge.Latency{Warmup: warmup}}, of), all...)
		if v := c.Close(); v.Decision != want {
			t.Errorf("with a warm-up of %s: %s: %q", warmup, v.Decision, v.Reason)
		}
	}
}

func TestOneBurstFailsNothing(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(10000, 10, 20*time.Millisecond)}
	var all []judge.Observation
	sum := judge.Traffic{}
	for i := range 40 {
		interval := traffic(100, 0, 20*time.Millisecond)
		if i == 20 || i == 21 {
			interval = traffic(100, 80, 3*time.Second)
		}
		sum = sum.Merge(interval)
		all = append(all, judge.Observation{Traffic: sum})
	}
	c, _ := hear(judge.New(judge.Policy{}, of), all...)
	if v := c.Close(); v.Decision != judge.Pass {
		t.Errorf("%s: %q", v.Decision, v.Reason)
	}
}

func TestCountersThatBeginAnewAreAddedUp(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(1000, 10, time.Millisecond)}
	again := append(growing(3, 30, 0, time.Millisecond), growing(3, 30, 0, time.Millisecond)...)
	for i := range again {
		again[i].Restarts = i / 3
	}
	c, _ := hear(judge.New(judge.Policy{Restarts: 1}, of), again...)
	v := c.Close()
	for _, e := range v.Evidence {
		if e.Test == "errors" && e.N != 180 {
			t.Errorf("%d requests were counted, two lives of 90 were reported", e.N)
		}
	}
}

func TestVerdictStandsOnceItIsFail(t *testing.T) {
	c, failed := hear(judge.New(calm(judge.Policy{}), judge.Baseline{}), times(3, outcome(false))...)
	after, v := hear(c, times(100, outcome(true))...)
	if !reflect.DeepEqual(v, failed) || !reflect.DeepEqual(after.Close(), failed) {
		t.Errorf("%s: %q, before %q", v.Decision, v.Reason, failed.Reason)
	}
}

func TestVerdictIsKeptAsJSON(t *testing.T) {
	of := judge.Baseline{Traffic: traffic(1000, 0, time.Millisecond)}
	of.Add(traffic(100, 0, time.Millisecond))
	policy := judge.Policy{Version: "1", HeartbeatAge: time.Minute, RSS: judge.Ceiling{Max: 1, Ratio: 2}}
	for _, n := range []int{0, 1, 30} {
		c, _ := hear(judge.New(policy, of), growing(n, 100, 90, time.Second)...)
		v := c.Close()
		text, err := json.Marshal(v)
		var read judge.Verdict
		if err != nil || json.Unmarshal(text, &read) != nil || !reflect.DeepEqual(read, v) {
			t.Errorf("%s reads as %+v: %v", text, read, err)
		}
		text, err = json.Marshal(of)
		var baseline judge.Baseline
		if err != nil || json.Unmarshal(text, &baseline) != nil || !reflect.DeepEqual(baseline, of) {
			t.Errorf("%s reads as another: %v", text, err)
		}
	}
}

func TestPolicyNamesEverythingThatIsWrong(t *testing.T) {
	wrong := judge.Policy{
		Failures: -1, Restarts: -1, HeartbeatAge: -1, FalseAlarms: 1,
		RSS: judge.Ceiling{Max: -1}, CPU: judge.Ceiling{Ratio: 0.5}, FDs: judge.Ceiling{Ratio: -1},
		Errors:  judge.Errors{Ratio: 0.9, Excess: 2},
		Latency: judge.Latency{Quantile: 1, Ratio: 0.5, Excess: -1},
	}
	err := wrong.Validate()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	for _, field := range []string{
		"Failures: -1", "Restarts: -1", "HeartbeatAge: -1ns", "FalseAlarms: 1", "RSS.Max: -1", "CPU.Ratio: 0.5", "FDs.Ratio: -1",
		"Errors.Ratio: 0.9", "Errors.Excess: 2", "Latency.Quantile: 1", "Latency.Ratio: 0.5", "Latency.Excess: -1ns",
	} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("nobody says %q: %v", field, err)
		}
	}
	if err := (judge.Policy{}).Validate(); err != nil {
		t.Errorf("the zero policy: %v", err)
	}
}

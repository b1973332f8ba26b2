package judge

// Traffic is what has been answered. Its counters only grow while a process lives.
type Traffic struct {
	Requests uint64    `json:"requests"`
	Errors   uint64    `json:"errors"` // of these requests, those that failed by the service's own fault
	Latency  Histogram `json:"latency"`
}

// Since returns what came after an earlier reading of the same counters. If one of them has shrunk, the process was replaced, and all
// of now is what came.
func (t Traffic) Since(earlier Traffic) Traffic {
	latency, grown := t.Latency.Sub(earlier.Latency)
	if !grown || t.Requests < earlier.Requests || t.Errors < earlier.Errors {
		return t
	}
	return Traffic{Requests: t.Requests - earlier.Requests, Errors: t.Errors - earlier.Errors, Latency: latency}
}

// Merge returns both together.
func (t Traffic) Merge(other Traffic) Traffic {
	return Traffic{Requests: t.Requests + other.Requests, Errors: t.Errors + other.Errors, Latency: t.Latency.Merge(other.Latency)}
}

// sane has no more errors than requests. Counters are read one after the other while requests end, so that an error may be counted
// whose request is not yet.
func (t Traffic) sane() Traffic {
	t.Errors = min(t.Errors, t.Requests)
	return t
}

// share is the share of requests that failed.
func (t Traffic) share() float64 {
	if t.Requests == 0 {
		return 0
	}
	return float64(t.Errors) / float64(t.Requests)
}

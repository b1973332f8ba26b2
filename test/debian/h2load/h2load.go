// Package h2load reads what nghttp2's load generator says and logs, and tells the requests that it lost from those that it never sent.
//
// h2load repeats no request, not even one that GOAWAY says was refused unseen, and after GOAWAY it makes no other connection. A request that
// it has queued and not yet written when GOAWAY comes it withdraws: nghttp2_session_send closes the stream without a frame
// (nghttp2_session.c, session_predicate_request_headers_send), and h2load counts it as failed and errored, as it does one that was lost. Its
// summary does not tell them apart, its log does: the time at which a request was written is 0 where none was. Nor does the summary of a
// run of a given duration (-D) count what a connection that breaks had in flight; so the number of requests is given (-n).
package h2load

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Report is what one run has asked.
type Report struct {
	Answered  int    // with status 200
	Withdrawn int    // never sent
	Protocol  string // as ALPN names it
}

var (
	figures  = regexp.MustCompile(`(?m)^requests: \d+ total, (\d+) started, (\d+) done, (\d+) succeeded, \d+ failed, \d+ errored, 0 timeout$`)
	protocol = regexp.MustCompile(`(?m)^Application protocol: (\S+)$`)
)

// Read takes what a run with -n and --log-file has said and logged, in a file that was new. It returns an error if a request that was sent has no answer with status
// 200, or if none was sent.
func Read(said, log string) (r Report, err error) {
	spoken, found := protocol.FindStringSubmatch(said), figures.FindStringSubmatch(said)
	if spoken == nil || found == nil {
		return r, fmt.Errorf("h2load says no figures")
	}
	r.Protocol = spoken[1]
	var summed [3]int // started, done, succeeded
	for i := range summed {
		if summed[i], err = strconv.Atoi(found[1+i]); err != nil {
			return r, err
		}
	}
	for line := range strings.Lines(log) {
		var sent, status, took int64 // microseconds since 1970, HTTP's or -1, microseconds
		if _, err := fmt.Sscan(line, &sent, &status, &took); err != nil {
			return r, fmt.Errorf("h2load logs %q: %w", line, err)
		}
		switch {
		case status == 200:
			r.Answered++
		case sent == 0 && status == -1:
			r.Withdrawn++
		default:
			return r, fmt.Errorf("a request that h2load has sent was lost: status %d after %d µs", status, took)
		}
	}
	if r.Answered == 0 || r.Answered != summed[2] || r.Answered+r.Withdrawn != summed[0] || summed[1] != summed[0] {
		return r, fmt.Errorf("h2load logs %d requests answered and %d withdrawn, and says otherwise", r.Answered, r.Withdrawn)
	}
	return r, nil
}

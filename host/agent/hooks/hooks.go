// Package hooks tells others of an upgrade, and asks them whether it may begin: programs of the host, and URLs.
//
// It promises that a hook takes no longer than its timeout, with all its attempts; that a program that takes longer is killed with all that it has
// started in its process group; and that asking again, after the agent died in between, can be told by the key that both times were sent with.
package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/handover-go/handover/host/agent/config"
)

// maxDetail is how much of what a hook prints or answers is kept, in bytes.
const maxDetail = 4 << 10

// Event is what a hook is told: in JSON, and programs in variables too.
type Event struct {
	Key      string          `json:"key"`     // SERVICE/NUMBER/PHASE: the same whenever this is told
	Phase    string          `json:"phase"`   // as config.Hook.On has it
	Upgrade  string          `json:"upgrade"` // SERVICE/NUMBER
	Service  string          `json:"service"`
	Number   uint64          `json:"number"`
	Kind     string          `json:"kind"` // upgrade, rollback, return or restart
	From     string          `json:"from,omitempty"`
	To       string          `json:"to,omitempty"`
	By       string          `json:"by,omitempty"` // who asked
	State    string          `json:"state"`
	Reason   string          `json:"reason,omitempty"`
	At       time.Time       `json:"at"`
	Evidence json.RawMessage `json:"evidence,omitempty"`
}

// Outcome is how a hook ended.
type Outcome string

// The outcomes.
const (
	Done   Outcome = "done"
	Vetoed Outcome = "vetoed" // it refuses the upgrade, or could not say and its failure means that
	Failed Outcome = "failed" // and that is ignored
)

// Result is what became of one hook.
type Result struct {
	Hook     string        `json:"hook"`
	Outcome  Outcome       `json:"outcome"`
	Detail   string        `json:"detail,omitempty"` // why, and what it printed or answered, of which 4 KiB are kept
	Attempts int           `json:"attempts"`
	Took     time.Duration `json:"took"` // in ns, with all attempts
}

// Runner runs hooks. The zero value is useful.
type Runner struct {
	// Client sends to URLs. It must not follow redirects, as what is sent is signed for one receiver. Default: one that does not, with the
	// environment's proxies, and no connection kept.
	Client *http.Client
	// Backoff is the time before the second attempt, and doubles up to a minute; from half of it to all of it is waited. Default 1s.
	Backoff time.Duration
}

// Run runs those hooks that are on the phase of e, one after the other, up to the first that vetoes. Upgrade and Key of e are made of its Service,
// Number and Phase. When ctx ends, hooks that are left fail.
func (r Runner) Run(ctx context.Context, all []config.Hook, e Event) []Result {
	e.Upgrade = fmt.Sprintf("%s/%d", e.Service, e.Number)
	e.Key = e.Upgrade + "/" + e.Phase
	var results []Result
	for _, h := range all {
		if !slices.Contains(h.On, e.Phase) {
			continue
		}
		result := r.run(ctx, h, e)
		results = append(results, result)
		if result.Outcome == Vetoed {
			break
		}
	}
	return results
}

// Veto is the result that refuses the upgrade, if there is one.
func Veto(results []Result) (Result, bool) {
	i := slices.IndexFunc(results, func(r Result) bool { return r.Outcome == Vetoed })
	if i < 0 {
		return Result{}, false
	}
	return results[i], true
}

// answer is what one hook said before it is known what that means for the upgrade.
type answer struct {
	outcome  Outcome // Vetoed: it said no, whether it is one that may or not
	detail   string
	attempts int
}

func (r Runner) run(ctx context.Context, h config.Hook, e Event) Result {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, 30*time.Second))
	defer cancel()
	var a answer
	body, err := json.Marshal(e)
	switch {
	case err != nil:
		a = answer{outcome: Failed, detail: fmt.Sprintf("encode the event: %v", err)}
	case len(h.Exec) > 0:
		a = program(ctx, h, e, body)
	default:
		a = r.post(ctx, h, e, body)
	}
	switch {
	case a.outcome == Vetoed && !h.Veto:
		a.outcome = Failed
	case a.outcome == Failed && h.Veto && h.Failure != config.FailureIgnored:
		a.outcome = Vetoed
	}
	return Result{Hook: h.Name, Outcome: a.outcome, Detail: a.detail, Attempts: a.attempts, Took: time.Since(began)}
}

// ended says why there is no more time.
func ended(ctx context.Context, h config.Hook) string {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return fmt.Sprintf("took longer than %s", cmp.Or(h.Timeout, 30*time.Second))
	}
	return fmt.Sprintf("not finished: %v", context.Cause(ctx))
}

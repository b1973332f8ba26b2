package supervise

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

// dying is a service that its keeper starts again, as it says.
func dying(keeper, restarts int) *service.Status {
	last := "generation 4, process 77: exit status 3"
	if restarts == 0 {
		last = ""
	}
	return &service.Status{State: "down", Keeper: &wire.Keeping{PID: keeper, State: "down", Restarts: restarts, Last: last}}
}

// TestStartOfAServiceThatDiesEndsWithTheReason, after its third death since, whichever keeper tells of them; deaths before do not count.
func TestStartOfAServiceThatDiesEndsWithTheReason(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, j := supervised(t, Config{Command: "/bin/true"}, dir)
		defer j.Close()
		s.note(dying(7, 5), "")
		if st := s.Status(); st.State != Starting || !strings.Contains(st.Reason, "died 5 times") || !strings.Contains(st.Reason, "exit status 3") {
			t.Errorf("%s: %q", st.State, st.Reason)
		}
		limit, enough := context.WithTimeout(t.Context(), time.Minute)
		defer enough()
		answer := make(chan error, 1)
		go func() { answer <- s.Start(limit) }()
		for _, seen := range []*service.Status{dying(7, 5), dying(7, 6), nil, dying(8, 0), dying(8, 1)} {
			s.note(seen, "")
			synctest.Wait()
		}
		select {
		case err := <-answer:
			t.Fatalf("after two deaths: %v", err)
		default:
		}
		s.note(dying(8, 2), "")
		if err := <-answer; err == nil || !strings.Contains(err.Error(), "died 3 times") || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("after three deaths: %v", err)
		}
		s.giveUp(context.DeadlineExceeded)
		s.mu.Lock()
		s.trouble = "why it was"
		s.mu.Unlock()
		if err := s.until(limit, started(&deaths{})); err == nil || !strings.Contains(err.Error(), "given up: why it was") {
			t.Errorf("given up: %v", err)
		}
	})
}

package peer

import (
	"context"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// mortal is a process that ends when its channel is closed.
type mortal struct {
	Process
	dead chan struct{}
}

func (m mortal) Close() {}

func (m mortal) Wait(ctx context.Context) (string, error) {
	select {
	case <-m.dead:
		return "the process ended", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// observed is a peer, its inbox, and the other end of its link.
func observed(t *testing.T, process Process, assumed bool) (p *Peer, inbox chan Report, theirs *wire.Link) {
	t.Helper()
	a, b, err := platform.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	p = &Peer{Link: NewLink(a), Process: process, Assumed: assumed}
	inbox, theirs = make(chan Report, 8), NewLink(b)
	p.Observe(inbox, t.Context().Done())
	t.Cleanup(func() { p.Close(); _ = theirs.Close() })
	return p, inbox, theirs
}

func self(t *testing.T) *platform.Pidfd {
	t.Helper()
	proof, err := platform.SelfPidfd()
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func want(t *testing.T, inbox <-chan Report, on Event) Report {
	t.Helper()
	select {
	case r := <-inbox:
		if r.On != on {
			t.Fatalf("report %d (%s), want %d", r.On, r.Why, on)
		}
		return r
	case <-time.After(10 * time.Second):
		t.Fatalf("no report, want %d", on)
		return Report{}
	}
}

func send(t *testing.T, theirs *wire.Link) {
	t.Helper()
	if err := theirs.Send(1, &wire.Gone{}); err != nil {
		t.Fatal(err)
	}
}

// TestDeathOfAnAssumedProcessEndsNoLink: a successor takes its keeper for the incumbent until it has the offer, and the keeper may die
// just then.
func TestDeathOfAnAssumedProcessEndsNoLink(t *testing.T) {
	keeper := mortal{dead: make(chan struct{})}
	p, inbox, theirs := observed(t, keeper, true)
	close(keeper.dead)
	for range 3 {
		send(t, theirs)
		want(t, inbox, Spoke)
	}
	p.Becomes(self(t))
	send(t, theirs)
	want(t, inbox, Spoke)
	_ = theirs.Close()
	if r := want(t, inbox, LinkEnded); r.Stale() {
		t.Error("the end of the link is stale")
	}
}

func TestDeathOfAnAssumedProcessExplainsTheEndOfTheLink(t *testing.T) {
	parent := mortal{dead: make(chan struct{})}
	_, inbox, theirs := observed(t, parent, true)
	close(parent.dead)
	_ = theirs.Close()
	if r := want(t, inbox, Died); r.Stale() {
		t.Error("the death is stale")
	}
}

// TestReportOfAnAssumedProcessIsStaleOnceTheTrueOneIsKnown though it was on its way before.
func TestReportOfAnAssumedProcessIsStaleOnceTheTrueOneIsKnown(t *testing.T) {
	keeper := mortal{dead: make(chan struct{})}
	p, inbox, theirs := observed(t, keeper, true)
	close(keeper.dead)
	_ = theirs.Close()
	r := want(t, inbox, Died)
	p.Becomes(self(t))
	if !r.Stale() {
		t.Error("the death of another process is taken for the peer's")
	}
	if r := want(t, inbox, LinkEnded); r.Stale() {
		t.Error("the end of the link is stale")
	}
}

// TestDeathEndsALinkThatAnotherProcessHolds as a child of the dead one may.
func TestDeathEndsALinkThatAnotherProcessHolds(t *testing.T) {
	process := mortal{dead: make(chan struct{})}
	_, inbox, theirs := observed(t, process, false)
	send(t, theirs)
	close(process.dead)
	want(t, inbox, Spoke)
	want(t, inbox, Died)
}

package keeper

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// probe asks a generation for its health again and again, until ctx ends.
type probe struct {
	health  Health
	dial    func(ctx context.Context) (net.Conn, error)
	verdict func(passed bool, evidence string) // of each check that passed, and of Failures failed ones in a row
}

// run checks until ctx ends. once ends it with the first verdict.
func (p probe) run(ctx context.Context, once bool) {
	for failures := 0; ; {
		err := p.check(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			failures = 0
			p.verdict(true, "")
		default:
			failures++
			if failures == p.health.Failures {
				p.verdict(false, fmt.Sprintf("%d checks failed in a row, the last: %v", failures, err))
			}
		}
		if once && (err == nil || failures == p.health.Failures) {
			return
		}
		select {
		case <-time.After(p.health.Interval):
		case <-ctx.Done():
			return
		}
	}
}

// check is one request on a connection of its own.
func (p probe) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.health.Timeout)
	defer cancel()
	scheme := "http"
	if p.health.TLS {
		scheme = "https"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+p.health.Path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("User-Agent", "handover-health")
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return p.dial(ctx) },
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the other end is known: the connection is of the keeper's own making
	}
	defer transport.CloseIdleConnections()
	began := time.Now()
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("GET %s: %w", p.health.Path, err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 399 {
		return fmt.Errorf("GET %s: status %d after %s", p.health.Path, answer.StatusCode, time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// admit tells a generation whether it may be ready: if it is healthy, by a connection that comes out of its own Accept.
func (k *Keeper) admit(g *generation) {
	pass := &wire.Vote{Verdict: wire.VotePass}
	a := k.attempt
	if k.config.Health.Path == "" || a == nil {
		g.send(0, pass)
		return
	}
	spec, err := checked(g.held)
	if err != nil {
		g.send(0, &wire.Vote{Verdict: wire.VoteFail, Reason: err.Error()})
		return
	}
	k.watch(a, true, func(ctx context.Context) (net.Conn, error) { return k.preview(ctx, g, spec) }, func(passed bool, evidence string) {
		if passed {
			g.send(0, pass)
			return
		}
		k.log.Warn("a generation is not healthy: it may not be ready", "generation", g.number, "pid", g.PID(), "evidence", evidence)
		g.send(0, &wire.Vote{Verdict: wire.VoteFail, Reason: evidence})
	})
}

// prove asks the service for its health while the handover is on probation, and votes to the incumbent.
func (a *attempt) prove(k *Keeper) {
	if k.config.Health.Path == "" || a.successor == nil { // it has died, which the incumbent does not know yet
		return
	}
	spec, err := checked(a.successor.held)
	if err != nil {
		a.health = wire.Vote{Verdict: wire.VoteFail, Reason: err.Error()}
		a.vote(k)
		return
	}
	k.watch(a, false, func(ctx context.Context) (net.Conn, error) { return dial(ctx, spec) }, func(passed bool, evidence string) {
		if passed {
			a.health = wire.Vote{Verdict: wire.VotePass}
			a.vote(k)
			return
		}
		k.log.Warn("the service is not healthy: the keeper votes against its successor", "attempt", k.attempts, "evidence", evidence)
		a.health = wire.Vote{Verdict: wire.VoteFail, Reason: evidence}
		a.vote(k)
	})
}

// watch runs a probe for as long as the attempt lasts, in the place of an earlier one. verdict runs in the loop.
func (k *Keeper) watch(a *attempt, once bool, dial func(context.Context) (net.Conn, error), verdict func(bool, string)) {
	a.stopProbing()
	ctx, cancel := context.WithCancel(context.Background())
	a.stopProbe = cancel
	p := probe{health: k.config.Health, dial: dial, verdict: func(passed bool, evidence string) {
		k.post(func() {
			if ctx.Err() == nil {
				verdict(passed, evidence)
			}
		})
	}}
	k.background(ctx, func(ctx context.Context) { p.run(ctx, once) })
}

// checked is the listener that health is asked at: the first that takes connections.
func checked(held []holding) (wire.Listener, error) {
	for _, h := range held {
		if !h.spec.Packet {
			return h.spec, nil
		}
	}
	return wire.Listener{}, errors.New("it listens nowhere that health could be asked")
}

// preview connects to a generation by PREVIEW.
func (k *Keeper) preview(ctx context.Context, g *generation, spec wire.Listener) (net.Conn, error) {
	ours, theirs, err := peer.Connected(ctx, spec.Network)
	if err != nil {
		return nil, err
	}
	defer func() { _ = theirs.Close() }()
	fd, err := platform.FD(theirs)
	if err == nil && !g.send(0, &wire.Preview{Key: spec.Key()}, fd) {
		err = errors.New("the link is down")
	}
	if err != nil {
		_ = ours.Close()
		return nil, err
	}
	return ours, nil
}

// dial connects to the service as a client does. An unspecified address means this host to the kernel; a name could not be
// relied on: a container may have neither /etc/hosts nor DNS.
func dial(ctx context.Context, spec wire.Listener) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, spec.Network, spec.Bound)
}

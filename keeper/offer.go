package keeper

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// offer is a handover in which the keeper stands in the incumbent's place, because no generation lives: it offers what it holds
// to the process that it has started. There is nothing to freeze, and nobody to resume, so every step is granted.
type offer struct {
	*peer.Peer // the link on which the keeper speaks as the incumbent
	keeper     *Keeper
	generation *generation
	holdings   []holding
	heard      bool   // the process has said HELLO
	reason     string // why it gave up, if it said so
}

// newOffer takes over the link.
func newOffer(k *Keeper, g *generation, link *platform.Socket) *offer {
	return &offer{
		Peer:   &peer.Peer{Link: peer.NewLink(link), Process: borrowed{g.process}},
		keeper: k, generation: g, holdings: k.spare,
	}
}

// borrowed is a process that someone else closes.
type borrowed struct{ peer.Process }

func (borrowed) Close() {}

func (o *offer) reported(r peer.Report) {
	switch {
	case r.On == peer.Spoke && r.Fault == nil:
		o.said(r.Frame)
	case r.On == peer.Spoke:
		o.fail(r.Fault)
	case r.On == peer.LinkEnded:
		o.fail(fmt.Errorf("it closed the link: %s", r.Why))
	}
	// Its death is reported by the keeper's own link as well.
}

func (o *offer) said(f *wire.Frame) {
	defer peer.CloseDescriptors(f)
	switch m := f.Message.(type) {
	case *wire.Hello:
		o.greeted(m)
	case *wire.Ack:
		if m.Lost || m.Next < 0 || m.Next > len(o.holdings) {
			o.fail(fmt.Errorf("the %d listeners do not fit in its table of descriptors: raise RLIMIT_NOFILE", len(o.holdings)))
			return
		}
		o.sendListeners(m.Next)
	case *wire.Adopted:
		for _, h := range o.unadopted(m) {
			o.keeper.log.Warn("the service does not listen there any more: closed", "listener", h.spec.Key())
		}
	case *wire.Ready:
		o.keeper.timer.Reset(answerTimeout)
		o.send(&wire.Freeze{BudgetMillis: answerTimeout.Milliseconds()})
		o.send(&wire.Carry{EndOfRound: true})
	case *wire.Imported:
		o.keeper.highest++
		o.send(&wire.Commit{Generation: o.keeper.highest})
	case *wire.Serving, *wire.Return:
		o.send(&wire.Final{})
		o.send(&wire.Gone{})
	case *wire.Abort:
		o.reason = m.Reason
	}
}

func (o *offer) greeted(m *wire.Hello) {
	k := o.keeper
	o.heard = true
	_, features, err := wire.Negotiate(k.hello(wire.RoleIncumbent), *m)
	if err != nil {
		o.fail(err)
		return
	}
	self, err := platform.SelfPidfd()
	if err != nil {
		o.fail(err)
		return
	}
	defer func() { _ = self.Close() }()
	o.generation.Build = m.Build
	o.send(&wire.Offer{
		Protocol: wire.Protocols.Max, Features: features, Service: k.config.Name,
		Generation: k.highest, PID: os.Getpid(), Build: k.build, Listeners: specs(o.holdings), Counting: k.counting,
	}, self.FD())
	o.sendListeners(0)
}

func (o *offer) sendListeners(first int) {
	if fds := batch(o.holdings, first); len(fds) > 0 {
		o.send(&wire.Listeners{First: first}, fds...)
	}
}

func (o *offer) unadopted(m *wire.Adopted) (left []holding) {
	taken := make(map[int]bool)
	for _, i := range m.Adopted {
		taken[i] = true
	}
	for i, h := range o.holdings {
		if !taken[i] {
			left = append(left, h)
		}
	}
	return left
}

func (o *offer) send(m wire.Message, fds ...int) {
	if err := sent(o.Link, o.keeper.attempts, m, fds...); errors.Is(err, wire.ErrTooManyInFlight) {
		o.fail(fmt.Errorf("%w: raise the hard RLIMIT_NOFILE of this user", err))
	}
}

// late gives the process up because it is not ready in time.
func (o *offer) late(limit time.Duration) {
	err := fmt.Errorf("it was not ready within %s", limit)
	if !o.heard {
		err = fmt.Errorf("it did not say within %s that it can be handed over: embed handover in the program, or have its sockets listened on for it (--listen)", limit)
	}
	o.fail(err)
}

// fail gives the process up.
func (o *offer) fail(err error) {
	if o.reason == "" {
		o.reason = err.Error()
	}
	o.send(&wire.Abort{Code: wire.CodeFailed, Reason: o.reason, Protocol: wire.Protocols, Build: o.keeper.build})
	_ = o.generation.process.Kill()
}

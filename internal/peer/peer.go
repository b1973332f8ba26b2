// Package peer is another process of the service, seen from this one: the link to it, and the proof of its death.
package peer

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// Peer is a process at the other end of a link. Observed, it has two goroutines: one reads frames, the other waits for the
// process to die. Both report to one inbox, in order: what was sent, the end of the link, the death.
type Peer struct {
	Link    *wire.Link
	Process Process

	// What is known of it. They belong to whoever handles the reports.
	Generation int
	Build      wire.Build
	Protocol   wire.Range
	Features   []string
	Assumed    bool   // Process is a guess, until Becomes
	Gone       bool   // it has drained: its process ends, or has other things to do
	Heard      bool   // it has said something since it drains
	Unheard    bool   // something that it said was not understood
	LastConn   uint64 // the id of the last connection that it has sent

	inbox  chan<- Report
	closed <-chan struct{} // nobody reads inbox any more
	ctx    context.Context // of the reports
	stop   context.CancelFunc
	read   chan struct{} // closed when the link was read to its end
	ended  error         // how it ended; valid once read is closed
	guard  chan struct{} // closed when nobody waits for the process any more
	retire context.CancelFunc
	paused atomic.Bool
}

// Report is what a peer has said, or what became of it.
type Report struct {
	Peer  *Peer
	On    Event
	Frame *wire.Frame // of Spoke; its descriptors are the receiver's
	Fault error       // of Spoke: a frame that this build does not know and must not ignore; the link still works
	Why   string      // how the process ended, what broke the link
	// Unheard is, of LinkEnded and Died, whether something came that was not understood, or broke the link.
	Unheard bool

	process Process // of LinkEnded and Died: which was waited for
}

// Stale reports whether r tells the end of a process that was taken for the one behind the link, and is not. What became of that
// one is reported anew.
func (r Report) Stale() bool { return r.process != nil && r.process != r.Peer.Process }

// Event is the kind of a Report.
type Event uint8

// What happens to a peer. Died comes after everything that it had sent. LinkEnded comes only of a process that outlives its
// link for a while: a death says more than the end of the link that comes with it.
const (
	Spoke Event = iota
	LinkEnded
	Died
)

// New takes ownership of a link and of the pidfd of the process behind it.
func New(link, pidfd, generation int) (*Peer, error) {
	proof, err := platform.PidfdFromFD(pidfd)
	if err != nil {
		_ = platform.CloseFD(link)
		return nil, err
	}
	socket, err := platform.NewSocket(link)
	if err != nil {
		_ = proof.Close()
		return nil, err
	}
	return &Peer{Link: NewLink(socket), Process: Stranger(proof), Generation: generation, Protocol: wire.Protocols}, nil
}

// Observe starts reporting to inbox, until the peer is closed or closed is.
func (p *Peer) Observe(inbox chan<- Report, closed <-chan struct{}) {
	p.inbox, p.closed, p.read = inbox, closed, make(chan struct{})
	if p.paused.Swap(false) {
		_ = p.Link.SetReceiveDeadline(time.Time{})
	}
	p.ctx, p.stop = context.WithCancel(context.Background())
	go p.readLink()
	p.waitForProcess()
}

// report posts r, or closes what it carries when nobody listens any more.
func (p *Peer) report(r Report) bool {
	r.Peer = p
	select {
	case p.inbox <- r:
		return true
	case <-p.closed:
	case <-p.ctx.Done():
	}
	CloseDescriptors(r.Frame)
	return false
}

// readLink reports frames. How the link ended, waitForProcess reports.
func (p *Peer) readLink() {
	defer close(p.read)
	defer func() {
		if !p.paused.Load() {
			p.Link.Discard()
		}
	}()
	for {
		f, err := p.Link.Receive()
		if err != nil && !errors.Is(err, wire.ErrCritical) {
			p.ended = err
			return
		}
		if !p.report(Report{On: Spoke, Frame: &f, Fault: err}) {
			return
		}
	}
}

// waitForProcess reports the end of the link and the death of the process, after everything that it had sent.
func (p *Peer) waitForProcess() {
	ctx, retire := context.WithCancel(p.ctx)
	process, assumed, guard, died := p.Process, p.Assumed, make(chan struct{}), make(chan string, 1)
	p.retire, p.guard = retire, guard
	go func() {
		defer close(died)
		how, err := process.Wait(ctx)
		if err != nil {
			return
		}
		if !assumed { // else its death may explain the end of the link, but does not make it
			_ = p.Link.Finish()
		}
		died <- how
	}()
	go func() {
		defer close(guard)
		defer func() { <-died }()
		select {
		case <-p.read:
		case <-ctx.Done():
			return
		}
		unheard := errors.Is(p.ended, wire.ErrMalformed) || errors.Is(p.ended, wire.ErrTooLarge) || p.Link.Skipped()
		outlived := time.NewTimer(deathAfterEnd)
		defer outlived.Stop()
		select {
		case how, dead := <-died:
			if dead {
				p.report(Report{On: Died, Why: how, Unheard: unheard, process: process})
			}
			return
		case <-outlived.C:
			p.report(Report{On: LinkEnded, Why: p.ended.Error(), Unheard: unheard, process: process})
		}
		if how, dead := <-died; dead {
			p.report(Report{On: Died, Why: how, Unheard: unheard, process: process})
		}
	}()
}

// deathAfterEnd is how long the end of a link waits for the death that may be its cause: the kernel closes the descriptors
// of a process before it reports it dead, and a large one takes its time.
const deathAfterEnd = time.Second

// Becomes says which process is behind the link. Reports of another one that are on their way are stale.
func (p *Peer) Becomes(proof *platform.Pidfd) {
	p.retire()
	<-p.guard
	p.Process.Close()
	p.Process, p.Assumed = Stranger(proof), false
	p.waitForProcess()
}

// Pause ends the reports, between two frames or within one, and loses nothing: what the link has read of a frame stays in it.
// The inbox must be read meanwhile. Observe goes on.
func (p *Peer) Pause() {
	p.paused.Store(true)
	_ = p.Link.SetReceiveDeadline(time.Unix(1, 0))
	<-p.read
	p.stop()
	<-p.guard
}

// Paused reports whether nothing was observed since Pause.
func (p *Peer) Paused() bool { return p.paused.Load() }

// Close ends the reports and the link.
func (p *Peer) Close() {
	if p.stop == nil {
		_ = p.Link.Close()
		p.Process.Close()
		return
	}
	p.stop()
	_ = p.Link.Close()
	<-p.read
	<-p.guard
	p.Process.Close()
}

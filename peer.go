package handover

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// peer is another generation at the other end of a link. It has two goroutines: one reads frames, the other waits for the
// process to die. Both report to the inbox of a life, in order: what was sent, the end of the link, the death.
type peer struct {
	link       *wire.Link
	process    process
	generation int
	build      wire.Build
	protocol   wire.Range
	features   []string
	gone       bool // it has drained: its process ends, or has other things to do

	inbox  chan<- happening
	closed <-chan struct{} // the life behind inbox is over
	ctx    context.Context // of the reports
	stop   context.CancelFunc
	read   chan struct{} // closed when the link was read to its end
	ended  error         // how it ended; valid once read is closed
	guard  chan struct{} // closed when nobody waits for the process any more
	retire context.CancelFunc
}

// process is what can be known of, and done to, another process.
type process interface {
	// wait returns when the process has ended, with how it ended, or when ctx does.
	wait(ctx context.Context) (how string, err error)
	// kill ends it by force. That it has ended, only wait tells.
	kill() error
	pid() int
	// ended reports whether wait would return at once.
	ended() bool
	// pidfd is a descriptor to send to another process, which can tell by it whether this one lives. It is valid until
	// release.
	pidfd() (fd int, release func(), err error)
	close()
}

// happening is what a peer reports.
type happening struct {
	on    event // onEOF or onDead, where frame is nil
	peer  *peer
	frame *wire.Frame
	why   string // how the process ended, what broke the link
	err   error  // of a frame that this build must not ignore and does not know: the link still works
}

// newPeer takes ownership of a link and of the pidfd of the process behind it.
func newPeer(link, pidfd, generation int) (*peer, error) {
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
	return &peer{link: newLink(socket), process: &stranger{proof}, generation: generation, protocol: wire.Protocols}, nil
}

// observe starts reporting to inbox, until the peer is closed or closed is.
func (p *peer) observe(inbox chan<- happening, closed <-chan struct{}) {
	p.inbox, p.closed, p.read = inbox, closed, make(chan struct{})
	p.ctx, p.stop = context.WithCancel(context.Background())
	go p.readLink()
	p.waitForProcess()
}

// report posts h, or closes what it carries when nobody listens any more.
func (p *peer) report(h happening) bool {
	h.peer = p
	select {
	case p.inbox <- h:
		return true
	case <-p.closed:
	case <-p.ctx.Done():
	}
	closeDescriptors(h.frame)
	return false
}

// readLink reports frames. How the link ended, waitForProcess reports.
func (p *peer) readLink() {
	defer close(p.read)
	defer p.link.Discard()
	for {
		f, err := p.link.Receive()
		if err != nil && !errors.Is(err, wire.ErrCritical) {
			p.ended = err
			return
		}
		if !p.report(happening{frame: &f, err: err}) {
			return
		}
	}
}

// waitForProcess reports the end of the link and the death of the process, after everything that it had sent. A death says
// more than the end of the link that comes with it, so an end is reported only of a process that outlives it for a while.
func (p *peer) waitForProcess() {
	ctx, retire := context.WithCancel(p.ctx)
	process, guard, died := p.process, make(chan struct{}), make(chan string, 1)
	p.retire, p.guard = retire, guard
	go func() {
		defer close(died)
		if how, err := process.wait(ctx); err == nil {
			_ = p.link.Finish()
			died <- how
		}
	}()
	go func() {
		defer close(guard)
		defer func() { <-died }()
		select {
		case <-p.read:
		case <-ctx.Done():
			return
		}
		outlived := time.NewTimer(deathAfterEnd)
		defer outlived.Stop()
		select {
		case how, dead := <-died:
			if dead {
				p.report(happening{on: onDead, why: how})
			}
			return
		case <-outlived.C:
			p.report(happening{on: onEOF, why: p.ended.Error()})
		}
		if how, dead := <-died; dead {
			p.report(happening{on: onDead, why: how})
		}
	}()
}

// deathAfterEnd is how long the end of a link waits for the death that may be its cause: the kernel closes the descriptors
// of a process before it reports it dead, and a large one takes its time.
const deathAfterEnd = time.Second

// becomes says that the process behind the link is another than was assumed.
func (p *peer) becomes(proof *platform.Pidfd) {
	p.retire()
	<-p.guard
	p.process.close()
	p.process = &stranger{proof}
	p.waitForProcess()
}

// close ends the reports and the link.
func (p *peer) close() {
	if p.stop == nil {
		_ = p.link.Close()
		p.process.close()
		return
	}
	p.stop()
	_ = p.link.Close()
	<-p.read
	<-p.guard
	p.process.close()
}

// closeDescriptors closes what rode on a frame that nobody wants.
func closeDescriptors(f *wire.Frame) {
	if f == nil {
		return
	}
	for _, fd := range f.Descriptors {
		_ = platform.CloseFD(fd)
	}
	f.Descriptors = nil
}

// stranger is a process that is not our child.
type stranger struct{ proof *platform.Pidfd }

func (s *stranger) pid() int    { return s.proof.PID() }
func (s *stranger) kill() error { return s.proof.Kill() }
func (s *stranger) ended() bool { return s.proof.Dead() }
func (s *stranger) close()      { _ = s.proof.Close() }

func (s *stranger) wait(ctx context.Context) (string, error) {
	return "the process ended", s.proof.Wait(ctx)
}

func (s *stranger) pidfd() (int, func(), error) { return s.proof.FD(), func() {}, nil }

// child is a process that this one started. A goroutine, which lives as long as the child does, reaps it.
type child struct {
	proc *os.Process
	done chan struct{}
	how  string // valid once done is closed
}

func newChild(proc *os.Process) *child {
	c := &child{proc: proc, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		state, err := proc.Wait()
		if err != nil {
			c.how = fmt.Sprintf("the process ended, how is not known: %v", err)
			return
		}
		c.how = state.String()
	}()
	return c
}

func (c *child) pid() int { return c.proc.Pid }
func (c *child) close()   {}

func (c *child) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

func (c *child) wait(ctx context.Context) (string, error) {
	select {
	case <-c.done:
		return c.how, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *child) kill() error {
	if err := c.proc.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (c *child) pidfd() (fd int, release func(), err error) {
	if herr := c.proc.WithHandle(func(handle uintptr) { fd, err = platform.Duplicate(int(handle)) }); herr != nil {
		return -1, nil, herr
	}
	return fd, func() { _ = platform.CloseFD(fd) }, err
}

// transport makes a platform.Socket what package wire wants of one.
type transport struct{ *platform.Socket }

func (t transport) Recv(p []byte) (n int, fds []int, lost bool, err error) {
	n, fds, err = t.Socket.Recv(p)
	if errors.Is(err, platform.ErrDescriptorsLost) {
		return n, fds, true, nil
	}
	return n, fds, false, err
}

func (t transport) Send(p []byte, fds []int) error {
	err := t.Socket.Send(p, fds)
	if errors.Is(err, platform.ErrTooManyInFlight) {
		return fmt.Errorf("%w: %w", wire.ErrTooManyInFlight, err)
	}
	return err
}

func newLink(s *platform.Socket) *wire.Link {
	return wire.NewLink(faulty(transport{s}), platform.CloseFD)
}

package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/handover-go/handover/internal/accept"
	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/takeover"
)

// door is the takeover socket of a named service, at which links can be asked for. The incumbent answers at it; with FINAL it
// goes to the successor. Under a keeper, which answers instead, every generation holds a copy, for the case that the keeper
// dies. Without a name there is none.
type door struct {
	process *Process

	mu        sync.Mutex
	listener  *net.UnixListener
	answering bool
	interrupt context.CancelFunc // this process is not to answer any more
	wait      sync.WaitGroup
	ctx       context.Context // of conversations
	stop      context.CancelFunc
}

func newDoor(p *Process) *door {
	d := &door{process: p, interrupt: func() {}}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// join asks the service of that name for a link. It returns nil if none serves.
func (d *door) join(ctx context.Context) (*peer.Peer, error) {
	path, err := takeover.Path(d.process.config.RuntimeDir, d.process.config.Name)
	if err != nil {
		return nil, err
	}
	socket, creds, err := takeover.Dial(ctx, path)
	if err == nil {
		var proof *platform.Pidfd
		if proof, err = platform.OpenPidfd(creds.PID); err == nil {
			return &peer.Peer{Link: peer.NewLink(socket), Process: peer.Stranger(proof), Assumed: true}, nil
		}
		_ = socket.Close()
	}
	if errors.Is(err, takeover.ErrNobody) {
		return nil, nil
	}
	return nil, fmt.Errorf("join service %q: %w", d.process.config.Name, untrusted(err))
}

// answered reports whether a process answers at the socket.
func (d *door) answered() bool {
	path, err := takeover.Path(d.process.config.RuntimeDir, d.process.config.Name)
	if err != nil || d.process.config.Name == "" {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// untrusted says in this package's words that the other side may not take part.
func untrusted(err error) error {
	if errors.Is(err, takeover.ErrUntrusted) {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// open answers at the socket: at the one that is held, or at a new one in place of a dead process's.
func (d *door) open(l *life) {
	if d.process.config.Name == "" || off() {
		return
	}
	ctx, cancel := context.WithCancel(d.ctx)
	d.mu.Lock()
	d.interrupt = cancel
	d.mu.Unlock()
	d.wait.Go(func() {
		defer cancel()
		ln := d.awaitAnswer(ctx)
		if ln == nil {
			return
		}
		_ = accept.Each(ctx, ln, d.process.config.Logger, func(c net.Conn) { // it was closed, or handed on
			d.wait.Go(func() { d.converse(l, platform.SocketFromConn(c.(*net.UnixConn))) })
		})
	})
}

// answerAgain is how long a process that cannot answer, as it has no descriptor left or the directory is not there, waits before it tries again.
const answerAgain = time.Second

// awaitAnswer is answer as soon as that succeeds. It returns nil if this process is not to answer any more.
func (d *door) awaitAnswer(ctx context.Context) *net.UnixListener {
	again := time.NewTicker(answerAgain)
	defer again.Stop()
	for said := false; ; said = true {
		ln, err := d.answer(ctx)
		if err == nil {
			return ln
		}
		if !said {
			d.process.config.Logger.Error("no takeover socket: this service cannot be joined", "service", d.process.config.Name, "error", err)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// answer makes this process the one that answers, or returns neither if it is not to.
func (d *door) answer(ctx context.Context) (*net.UnixListener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if ctx.Err() != nil {
		return nil, nil
	}
	if d.listener == nil {
		path, err := takeover.Path(d.process.config.RuntimeDir, d.process.config.Name)
		if err != nil {
			return nil, err
		}
		if d.listener, err = takeover.Bind(path); err != nil {
			return nil, err
		}
	}
	d.answering = true
	if err := d.listener.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return d.listener, takeover.Answer(d.listener)
}

// hold owns the socket that came from another process, which goes on answering there until this one does.
func (d *door) hold(fd int) {
	ln, err := takeover.Adopt(fd)
	if err != nil {
		d.process.config.Logger.Error("takeover socket not taken over", "error", err)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil {
		_ = d.listener.Close()
	}
	d.listener = ln
}

// hand stops answering, if this process does, and returns the socket's descriptor, which stays open until close.
func (d *door) hand() (fd int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.interrupt()
	if !d.answering {
		return -1, false
	}
	_ = d.listener.SetDeadline(past)
	d.answering = false
	fd, err := platform.FD(d.listener)
	return fd, err == nil
}

// leave lets go of the socket that nobody was given: at its path another can be made from now on.
func (d *door) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener != nil && !d.answering {
		_ = d.listener.Close()
		d.listener = nil
	}
}

// close stops answering; conversations end soon after, see wait. The path goes with the service, not with a generation.
func (d *door) close() {
	d.stop()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return
	}
	if d.answering {
		_ = os.Remove(d.listener.Addr().String())
	}
	_ = d.listener.Close()
	d.listener, d.answering = nil, false
}

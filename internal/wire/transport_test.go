package wire

import (
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// memory is one end of a connected pair that does in memory what a unix stream socket does, so that a test may choose
// where reads end, what gets lost and who stops reading, on virtual time. Descriptors are mere numbers.
type memory struct {
	in, out *flow
}

// newPair connects two ends. A descriptor that the kernel would destroy goes to destroy: one lost for want of room, and
// one unread when the receiving end closes.
func newPair(destroy func(fd int)) (a, b *memory) {
	ab, ba := newFlow(destroy), newFlow(destroy)
	return &memory{in: ba, out: ab}, &memory{in: ab, out: ba}
}

func (m *memory) Send(p []byte, fds []int) error          { return m.out.send(p, fds) }
func (m *memory) Recv(p []byte) (int, []int, bool, error) { return m.in.recv(p) }
func (m *memory) SetReadDeadline(t time.Time) error       { return m.in.setDeadline(&m.in.readBy, t) }
func (m *memory) SetWriteDeadline(t time.Time) error      { return m.out.setDeadline(&m.out.writeBy, t) }
func (m *memory) Readable() bool                          { return m.in.readable() }
func (m *memory) CloseRead() error                        { return m.in.end() }
func (m *memory) Close() error                            { m.in.abandon(); return m.out.end() }

// flow is one direction of a pair. Its knobs are turned before it is used.
type flow struct {
	space int  // how many bytes are queued at most before a sender waits; 0: any number
	piece int  // how many bytes one read returns at most; 0: any number
	merge bool // one read may return the descriptors of several messages, which Linux never does
	lose  int  // the n-th message with descriptors loses them; 0: none

	destroy func(fd int)

	mu              sync.Mutex
	changed         *sync.Cond
	queue           []message
	queued          int  // bytes
	withDescriptors int  // messages so far
	ended           bool // nothing more will be written, or looked at
	abandoned       bool // nobody reads any more
	readBy, writeBy deadline
}

// message is a run of bytes; the descriptors ride on the first.
type message struct {
	bytes []byte
	fds   []int
	lost  bool
}

// deadline wakes those who wait when it expires.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d deadline) expired() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newFlow(destroy func(fd int)) *flow {
	f := &flow{destroy: destroy}
	f.changed = sync.NewCond(&f.mu)
	return f
}

func (f *flow) send(p []byte, fds []int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for first := true; first || len(p) > 0; first = false {
		for f.space > 0 && f.queued >= f.space && !f.ended && !f.abandoned {
			if f.writeBy.expired() {
				return os.ErrDeadlineExceeded
			}
			f.changed.Wait()
		}
		if f.ended || f.abandoned {
			return io.ErrClosedPipe
		}
		n := len(p)
		if f.space > 0 {
			n = min(n, f.space-f.queued)
		}
		m := message{bytes: slices.Clone(p[:n])}
		if first && len(fds) > 0 {
			m.fds = slices.Clone(fds)
			f.withDescriptors++
			if f.withDescriptors == f.lose {
				f.destroyAll(m.fds)
				m.fds, m.lost = nil, true
			}
		}
		f.queue = append(f.queue, m)
		f.queued += n
		p = p[n:]
		f.changed.Broadcast()
	}
	return nil
}

func (f *flow) recv(p []byte) (n int, fds []int, lost bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.queue) == 0 && !f.abandoned && !f.ended {
		if f.readBy.expired() {
			return 0, nil, false, os.ErrDeadlineExceeded
		}
		f.changed.Wait()
	}
	switch {
	case f.abandoned:
		return 0, nil, false, net.ErrClosed
	case len(f.queue) == 0:
		return 0, nil, false, io.EOF
	}
	if f.piece > 0 {
		p = p[:min(len(p), f.piece)]
	}
	for n < len(p) && len(f.queue) > 0 {
		m := &f.queue[0]
		carries := m.lost || len(m.fds) > 0
		fds, lost = append(fds, m.fds...), lost || m.lost
		m.fds, m.lost = nil, false
		taken := copy(p[n:], m.bytes)
		m.bytes = m.bytes[taken:]
		n += taken
		if len(m.bytes) == 0 {
			f.queue = f.queue[1:]
		}
		if carries && !f.merge {
			break
		}
	}
	if lost {
		f.destroyAll(fds)
		fds = nil
	}
	f.queued -= n
	f.changed.Broadcast()
	return n, fds, lost, nil
}

func (f *flow) setDeadline(d *deadline, t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	*d = deadline{at: t}
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), f.wake)
	}
	f.changed.Broadcast()
	return nil
}

// wake holds the lock, so that nobody who is about to wait misses it.
func (f *flow) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changed.Broadcast()
}

func (f *flow) readable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.queue) > 0 || f.ended || f.abandoned
}

// end lets the reader have what is queued, and then the end.
func (f *flow) end() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.changed.Broadcast()
	return nil
}

// abandon is the reader's close: what is queued is gone.
func (f *flow) abandon() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.abandoned = true
	for _, m := range f.queue {
		f.destroyAll(m.fds)
	}
	f.queue = nil
	f.changed.Broadcast()
}

func (f *flow) destroyAll(fds []int) {
	for _, fd := range fds {
		f.destroy(fd)
	}
}

// ledger holds a link to its word: a descriptor that was sent is delivered or closed, once.
type ledger struct {
	mu   sync.Mutex
	fate map[int][]string
}

func (l *ledger) record(fd int, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fate == nil {
		l.fate = make(map[int][]string)
	}
	l.fate[fd] = append(l.fate[fd], what)
}

// close is a Link's closeFD, destroy a pair's kernel; deliver is called with the descriptors of every frame received.
func (l *ledger) close(fd int) error { l.record(fd, "closed"); return nil }
func (l *ledger) destroy(fd int)     { l.record(fd, "destroyed in transit") }
func (l *ledger) deliver(fds []int) {
	for _, fd := range fds {
		l.record(fd, "delivered")
	}
}

// check reports every one of the descriptors sent whose fate is not exactly one.
func (l *ledger) check(t testing.TB, sent []int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, fd := range sent {
		if len(l.fate[fd]) != 1 {
			t.Errorf("descriptor %d: %q, want one fate", fd, l.fate[fd])
		}
	}
	if len(l.fate) > len(sent) {
		t.Errorf("%d descriptors met a fate, %d were sent", len(l.fate), len(sent))
	}
}

// wasClosed reports whether the link itself closed fd.
func (l *ledger) wasClosed(fd int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Equal(l.fate[fd], []string{"closed"})
}

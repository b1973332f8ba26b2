//go:build debian

package zoo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// datagrams sends the same sequence to the zoo and to the control, one datagram of each at a time, at a fixed pace.
type datagrams struct {
	t         *testing.T
	zoo, rule *sequence
	stop      context.CancelFunc
	sending   sync.WaitGroup
	sent      int // final once sending is over
}

// beat is the time from one datagram to the next.
const beat = 4 * time.Millisecond

// sequence is what one socket has been answered.
type sequence struct {
	t        *testing.T
	conn     net.Conn
	hearing  sync.WaitGroup
	mu       sync.Mutex
	answers  map[int]int // the generation that answered, by number of the datagram
	repeated []int
}

// datagrams begins the sequences.
func (z *cage) datagrams() *datagrams {
	z.t.Helper()
	ctx, stop := context.WithCancel(z.ctx)
	d := &datagrams{t: z.t, zoo: newSequence(z.t, z.udp), rule: newSequence(z.t, z.control), stop: stop}
	z.t.Cleanup(d.stopped)
	d.sending.Go(func() {
		tick := time.NewTicker(beat)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.sent++
				for _, s := range []*sequence{d.zoo, d.rule} {
					if _, err := fmt.Fprintf(s.conn, "%d", d.sent); err != nil {
						d.t.Errorf("send datagram %d: %v", d.sent, err)
						return
					}
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return d
}

func (d *datagrams) stopped() {
	d.stop()
	d.sending.Wait()
}

func newSequence(t *testing.T, address string) *sequence {
	t.Helper()
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	// After a build that hung, all that has waited for it is answered at once, as much as a buffer of the usual size holds.
	if err := conn.(*net.UDPConn).SetReadBuffer(queue); err != nil {
		t.Fatal(err)
	}
	s := &sequence{t: t, conn: conn, answers: map[int]int{}}
	s.hearing.Go(s.hear)
	t.Cleanup(func() {
		s.conn.Close()
		s.hearing.Wait()
	})
	return s
}

// hear takes answers until the socket is closed.
func (s *sequence) hear() {
	var b [100]byte
	for {
		n, err := s.conn.Read(b[:])
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.t.Errorf("datagrams: %v", err)
			}
			return
		}
		var generation, number int
		if _, err := fmt.Sscan(string(b[:n]), &generation, &number); err != nil {
			s.t.Errorf("datagram %q: %v", b[:n], err)
			continue
		}
		s.mu.Lock()
		if _, again := s.answers[number]; again {
			s.repeated = append(s.repeated, number)
		}
		s.answers[number] = generation
		s.mu.Unlock()
	}
}

// missing are the numbers without an answer.
func (s *sequence) missing(sent int) (all []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := 1; number <= sent; number++ {
		if _, ok := s.answers[number]; !ok {
			all = append(all, number)
		}
	}
	return all
}

// turns are the generations in the order of the datagrams that they have read. A queue is read in order, so that each comes once, but for
// an incumbent that serves again.
func (s *sequence) turns(sent int) (generations []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number := 1; number <= sent; number++ {
		if g, ok := s.answers[number]; ok && (len(generations) == 0 || generations[len(generations)-1] != g) {
			generations = append(generations, g)
		}
	}
	return generations
}

// queue is the size of one that holds all datagrams of some seconds; one of the usual size is full after a second.
const queue = 1 << 20

// widen gives the zoo such a queue: a busy machine lets it stand still for longer than a second. Each generation has the same socket.
func (z *cage) widen() {
	z.t.Helper()
	pid := z.PID()
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		z.t.Fatal(err)
	}
	defer unix.Close(process)
	for i, row := range rows(z.t, "/proc/net/udp") {
		if i == 0 || address(z.t, row[1]) != z.udp {
			continue
		}
		fd, err := unix.PidfdGetfd(process, descriptor(z.t, pid, row[9]), 0)
		if err != nil {
			z.t.Fatal(err)
		}
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue)
		_ = unix.Close(fd)
		if err != nil {
			z.t.Fatal(err)
		}
		return
	}
	z.t.Fatal("the zoo has no socket for datagrams")
}

// settle is how long the last answers may take.
const settle = 5 * time.Second

// finish ends the sequences, and wants none answered twice. It returns which datagrams the zoo alone has not answered.
func (d *datagrams) finish(z *cage) (lost []int) {
	d.t.Helper()
	d.stopped()
	deadline := time.NewTimer(settle)
	defer deadline.Stop()
	look := time.NewTicker(beat)
	defer look.Stop()
	for waiting := true; waiting && len(d.zoo.missing(d.sent))+len(d.rule.missing(d.sent)) > 0; {
		select {
		case <-look.C:
		case <-deadline.C:
			waiting = false
		}
	}
	lost, rule := d.zoo.missing(d.sent), d.rule.missing(d.sent)
	if d.sent == 0 || len(rule) == d.sent {
		d.t.Errorf("of %d datagrams the control has answered none", d.sent)
	}
	for _, s := range []*sequence{d.zoo, d.rule} {
		if len(s.repeated) > 0 {
			d.t.Errorf("datagrams %v were answered twice", s.repeated)
		}
	}
	d.t.Logf("%-24s %d datagrams, %d without an answer, %d in the control run", "UDP", d.sent, len(lost), len(rule))
	return slices.DeleteFunc(lost, func(number int) bool { return slices.Contains(rule, number) })
}

// alternates wants the zoo's datagrams read by the incumbent, a successor, the incumbent again, for each return.
func (d *datagrams) alternates(returns int) {
	d.t.Helper()
	want := []int{1}
	for i := range returns {
		want = append(want, 2+i, 1)
	}
	if turns := d.zoo.turns(d.sent); !slices.Equal(turns, want) {
		d.t.Errorf("datagrams were read by generations %v, want %v", turns, want)
	}
}

package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLargestFrameArrivesThroughASmallBuffer(t *testing.T) {
	r := newRig(t)
	r.far.out.space = 4 << 10
	const overhead = 1 + 4 + 2 + 1
	largest := &Carry{FirstChunk: true, Schema: 1, Name: "s", Data: bytes.Repeat([]byte{7}, MaxPayload-overhead)}
	done := make(chan error, 1)
	go func() { done <- NewLink(r.far, r.close).Send(1, largest) }()
	r.want(t, 1, largest)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestSenderWhosePeerNeverReadsGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.near.out.space = 1 << 10
		begun := time.Now()
		err := r.link.Send(1, &Return{Reason: strings.Repeat("a", 4<<10)})
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("send: %v, want a deadline exceeded", err)
		}
		if waited := time.Since(begun); waited != SendTimeout {
			t.Errorf("gave up after %s, want %s", waited, SendTimeout)
		}
		// Part of a frame is on its way: nothing may follow it, even when there is room again.
		if _, _, _, err := r.far.Recv(make([]byte, 8<<10)); err != nil {
			t.Fatal(err)
		}
		begun = time.Now()
		for range 2 {
			if again := r.link.Send(1, &Ready{}); !errors.Is(again, os.ErrDeadlineExceeded) {
				t.Errorf("send on a broken link: %v, want the error that broke it", again)
			}
		}
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("sends on a broken link took %s", waited)
		}
		if r.far.Readable() {
			t.Error("a broken link sent something")
		}
	})
}

func TestSenderWhosePeerReadsLateGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.far.out.space = 1 << 10
		sender := NewLink(r.far, r.close)
		late := &Return{Reason: strings.Repeat("a", 4<<10)}
		done := make(chan error, 1)
		go func() { done <- errors.Join(sender.Send(1, late), sender.Send(1, late)) }()
		<-time.After(SendTimeout - time.Millisecond)
		r.want(t, 1, late)
		<-time.After(SendTimeout - time.Millisecond) // the second has a timeout of its own
		r.want(t, 1, late)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestSendThatIsGivenUpEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.near.out.space = 1 << 10
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		begun := time.Now()
		long := &Return{Reason: strings.Repeat("a", 4<<10)}
		if err := r.link.SendUntil(ctx, 1, long); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("send: %v, want the error of the context", err)
		}
		if waited := time.Since(begun); waited != time.Millisecond {
			t.Errorf("gave up after %s, want %s", waited, time.Millisecond)
		}
		if err := r.link.Send(1, &Ready{}); err == nil {
			t.Error("a frame was sent behind the half of another")
		}
	})
}

func TestSendThatIsGivenUpBeforeItBeginsLeavesTheLinkWhole(t *testing.T) {
	r := newRig(t)
	sender := NewLink(r.far, r.close)
	ctx, cancel := context.WithCancel(t.Context())
	if err := sender.SendUntil(ctx, 1, &Ready{}); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := sender.SendUntil(ctx, 1, &Ready{}); !errors.Is(err, context.Canceled) {
		t.Errorf("send: %v, want the error of the context", err)
	}
	if err := sender.Send(1, &Gone{}); err != nil {
		t.Error(err)
	}
	r.want(t, 1, &Ready{})
	r.want(t, 1, &Gone{})
}

func TestConcurrentSendersDoNotInterleave(t *testing.T) {
	const senders, each = 8, 20
	r := newRig(t)
	r.far.out.space = 10 // every frame leaves in many pieces
	link := NewLink(r.far, r.close)
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				if err := link.Send(uint32(s), &Preview{Key: fmt.Sprint(i)}, 100*s+i); err != nil {
					t.Error(err)
				}
			}
		})
		for i := range each {
			r.sent = append(r.sent, 100*s+i)
		}
	}
	next := make([]int, senders)
	for range senders * each {
		f, err := r.link.Receive()
		if err != nil {
			t.Fatal(err)
		}
		r.deliver(f.Descriptors)
		s := int(f.Attempt)
		m, ok := f.Message.(*Preview)
		if !ok || m.Key != fmt.Sprint(next[s]) || !slices.Equal(f.Descriptors, []int{100*s + next[s]}) {
			t.Fatalf("sender %d: received %+v with %v, want its frame %d", s, f.Message, f.Descriptors, next[s])
		}
		next[s]++
	}
	sending.Wait()
}

// tooFull is a transport on which no descriptor can be sent while it is full.
type tooFull struct {
	*memory
	full bool
}

func (t *tooFull) Send(p []byte, fds []int) error {
	if t.full && len(fds) > 0 {
		return fmt.Errorf("sendmsg: %w", ErrTooManyInFlight)
	}
	return t.memory.Send(p, fds)
}

func TestTooManyInFlightLeavesTheLinkWhole(t *testing.T) {
	r := newRig(t)
	transport := &tooFull{memory: r.far, full: true}
	sender := NewLink(transport, r.close)
	if err := sender.Send(1, &Listeners{}, 3); !errors.Is(err, ErrTooManyInFlight) {
		t.Fatalf("send: %v, want ErrTooManyInFlight", err)
	}
	transport.full = false
	r.sent = append(r.sent, 3)
	if err := sender.Send(1, &Listeners{}, 3); err != nil {
		t.Fatal(err)
	}
	r.want(t, 1, &Listeners{}, 3)
}

func TestWhatIsTooLargeIsNotBegun(t *testing.T) {
	r := newRig(t)
	sender := NewLink(r.far, r.close)
	tests := []struct {
		name    string
		message Message
		fds     []int
	}{
		{"payload", &Carry{Data: make([]byte, MaxPayload)}, nil},
		{"object", &Return{Reason: strings.Repeat("a", MaxPayload)}, nil},
		{"descriptors", &Listeners{}, make([]int, maxDescriptors+1)},
		{"name", &Carry{Name: strings.Repeat("a", 1<<16)}, nil},
		{"key", &Conns{Conns: []Conn{{Key: strings.Repeat("a", 1<<16)}}}, nil},
		{"name of a session", &Conns{Conns: []Conn{{Name: strings.Repeat("a", 1<<16)}}}, nil},
		{"batch", &Conns{Conns: make([]Conn, MaxBatch+1)}, nil},
		{"verdicts", &Verdicts{Verdicts: make([]ConnVerdict, MaxBatch+1)}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := sender.Send(1, test.message, test.fds...); err == nil {
				t.Error("was sent")
			}
		})
	}
	if r.near.Readable() {
		t.Error("something was sent")
	}
	if err := sender.Send(1, &Ready{}); err != nil {
		t.Fatal(err)
	}
	r.want(t, 1, &Ready{})
}

func TestSendCriticalSetsTheBit(t *testing.T) {
	r := newRig(t)
	if err := NewLink(r.far, r.close).SendCritical(1, &Commit{Generation: 2}); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 64)
	n, _, _, err := r.near.Recv(p)
	if err != nil {
		t.Fatal(err)
	}
	if want := frame(header{kind: KindCommit, critical: true, attempt: 1}, `{"generation":2}`); !bytes.Equal(p[:n], want) {
		t.Errorf("sent %q, want %q", p[:n], want)
	}
}

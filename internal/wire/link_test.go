package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFrameSplitAtAnyByteArrivesWhole(t *testing.T) {
	hello := &Hello{Protocol: Protocols, Features: Features(), Role: RoleSuccessor, PID: 42}
	first, second := encoded(t, 1, hello, 1), encoded(t, 2, &Ready{}, 0)
	both := slices.Concat(first, second)
	for at := 1; at < len(both); at++ {
		r := newRig(t)
		r.feed(t, both[:at], 3) // a read ends where descriptors do
		r.feed(t, both[at:])
		r.want(t, 1, hello, 3)
		r.want(t, 2, &Ready{})
	}
}

func TestFrameReadByteByByteArrivesWhole(t *testing.T) {
	r := newRig(t)
	r.near.in.piece = 1
	batch := &Conns{Conns: []Conn{{ID: 1, Key: "tcp|:1|0", Type: ConnHTTP1, Wait: time.Second, Unread: []byte("GET"), State: []byte{}}}}
	r.feed(t, encoded(t, 1, batch, 1), 3)
	r.feed(t, encoded(t, 1, &Gone{}, 0))
	r.want(t, 1, batch, 3)
	r.want(t, 1, &Gone{})
}

func TestFramesCoalescedInOneReadKeepTheirDescriptors(t *testing.T) {
	for _, merge := range []bool{false, true} {
		t.Run(fmt.Sprintf("merge=%t", merge), func(t *testing.T) {
			r := newRig(t)
			r.near.in.merge = merge
			r.feed(t, encoded(t, 1, &Ping{Seq: 1}, 0))
			r.feed(t, encoded(t, 1, &Preview{Key: "a"}, 1), 3)
			r.feed(t, encoded(t, 1, &Ping{Seq: 2}, 0))
			r.feed(t, encoded(t, 1, &Listeners{}, 3), 4, 5, 6)
			r.feed(t, encoded(t, 1, &Preview{Key: "b"}, 1), 7)
			r.feed(t, encoded(t, 1, &Commit{}, 0))
			r.want(t, 1, &Ping{Seq: 1})
			r.want(t, 1, &Preview{Key: "a"}, 3)
			r.want(t, 1, &Ping{Seq: 2})
			r.want(t, 1, &Listeners{}, 4, 5, 6)
			r.want(t, 1, &Preview{Key: "b"}, 7)
			r.want(t, 1, &Commit{})
		})
	}
}

func TestLossIsToldToTheFramesThatNameDescriptorsAndToNoOther(t *testing.T) {
	for _, merge := range []bool{false, true} {
		t.Run(fmt.Sprintf("merge=%t", merge), func(t *testing.T) {
			r := newRig(t)
			r.near.in.merge = merge
			r.far.out.lose = 1
			r.feed(t, encoded(t, 1, &Listeners{}, 2), 3, 4)
			r.feed(t, encoded(t, 1, &Ping{Seq: 1}, 0))
			r.feed(t, encoded(t, 1, &Preview{Key: "a"}, 1), 5)
			r.feed(t, encoded(t, 1, &Ping{Seq: 2}, 0))
			r.wantLost(t, &Listeners{})
			r.want(t, 1, &Ping{Seq: 1})
			if merge { // it came together with the loss, and cannot be told from what is lost
				r.wantLost(t, &Preview{Key: "a"})
			} else {
				r.want(t, 1, &Preview{Key: "a"}, 5)
			}
			r.want(t, 1, &Ping{Seq: 2})
			r.feed(t, encoded(t, 1, &Preview{Key: "b"}, 1), 6)
			r.want(t, 1, &Preview{Key: "b"}, 6)
		})
	}
}

func TestFramesBeforeALossKeepTheirDescriptors(t *testing.T) {
	r := newRig(t)
	r.far.out.lose = 2
	r.feed(t, encoded(t, 1, &Preview{Key: "a"}, 1), 3)
	r.feed(t, encoded(t, 1, &Preview{Key: "b"}, 1), 4)
	r.want(t, 1, &Preview{Key: "a"}, 3)
	r.wantLost(t, &Preview{Key: "b"})
}

func TestFewerDescriptorsThanNamedAreALoss(t *testing.T) {
	r := newRig(t)
	r.feed(t, encoded(t, 1, &Listeners{}, 3), 3, 4)
	r.wantLost(t, &Listeners{})
	if !r.wasClosed(3) || !r.wasClosed(4) {
		t.Error("the descriptors that came were not closed")
	}
	r.feed(t, encoded(t, 1, &Preview{Key: "a"}, 1), 5) // it may be the one that was missing
	r.wantLost(t, &Preview{Key: "a"})
}

func TestUnknownKindIsSkippedAndItsDescriptorsClosed(t *testing.T) {
	r := newRig(t)
	r.feed(t, frame(header{kind: 999, descriptors: 2}, "\x00 no JSON"), 3, 4)
	r.feed(t, encoded(t, 1, &Preview{Key: "a"}, 1), 5)
	r.want(t, 1, &Preview{Key: "a"}, 5)
	if !r.wasClosed(3) || !r.wasClosed(4) {
		t.Error("the descriptors of the frame skipped were not closed")
	}
}

func TestCriticalUnknownIsRefusedAndTheLinkStillAnswers(t *testing.T) {
	tests := []struct {
		name    string
		header  header
		payload string
	}{
		{"kind", header{kind: 999, critical: true, descriptors: 1, attempt: 7}, ""},
		{"key", header{kind: KindCommit, descriptors: 1, attempt: 7}, `{"generation":2,"!fence":true}`},
		{"key in disguise", header{kind: KindCommit, descriptors: 1, attempt: 7}, `{"\u0021fence":true}`},
		{"key of an empty message", header{kind: KindReady, descriptors: 1, attempt: 7}, `{"!fence":true}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.feed(t, frame(test.header, test.payload), 3)
			r.feed(t, encoded(t, 7, &Ping{Seq: 1}, 0))
			f, err := r.link.Receive()
			if !errors.Is(err, ErrCritical) || errors.Is(err, ErrMalformed) {
				t.Fatalf("received %+v, %v; want ErrCritical", f.Message, err)
			}
			if f.Attempt != 7 || f.Descriptors != nil || !r.wasClosed(3) {
				t.Errorf("attempt %d, descriptors %v, fate %q; want attempt 7, closed", f.Attempt, f.Descriptors, r.fate[3])
			}
			refusal := &Abort{Code: CodeUnsupported, Reason: err.Error(), Protocol: Protocols}
			if err := r.link.Send(7, refusal); err != nil {
				t.Fatalf("send the refusal: %v", err)
			}
			r.want(t, 7, &Ping{Seq: 1})
		})
	}
}

func TestExclamationMarkElsewhereIsNotCritical(t *testing.T) {
	r := newRig(t)
	r.feed(t, frame(header{kind: KindReturn}, `{"reason":"!help","new!":1}`))
	r.want(t, 0, &Return{Reason: "!help"})
}

func TestEndBetweenFramesIsEOFAndInsideOneIsUnexpected(t *testing.T) {
	whole := encoded(t, 1, &Commit{Generation: 2}, 1)
	for at := 0; at <= len(whole); at++ {
		r := newRig(t)
		if at > 0 {
			r.feed(t, whole[:at], 3)
		}
		if err := r.far.Close(); err != nil {
			t.Fatal(err)
		}
		switch at {
		case 0:
		case len(whole):
			r.want(t, 1, &Commit{Generation: 2}, 3)
		default:
			r.wantError(t, io.ErrUnexpectedEOF)
			continue
		}
		r.wantError(t, io.EOF)
	}
}

func TestFrameThatBreaksTheLink(t *testing.T) {
	tooLarge := header{kind: KindCarry, length: MaxPayload + 1}.append(nil)
	longest := header{kind: KindCarry}.append(nil)
	binary.BigEndian.PutUint32(longest[12:], 1<<32-1)
	tests := []struct {
		name  string
		bytes []byte
		want  error
	}{
		{"another protocol", []byte("GET / HTTP/1.1\r\n\r\n"), ErrMalformed},
		{"magic in lower case", append([]byte("hovr"), tooLarge[4:]...), ErrMalformed},
		{"one byte too large", tooLarge, ErrTooLarge},
		{"as large as can be said", longest, ErrTooLarge},
		{"too many descriptors", frame(header{kind: KindListeners, descriptors: 254}, "{}"), ErrMalformed},
		{"no JSON", frame(header{kind: KindCommit}, "generation=2"), ErrMalformed},
		{"no object", frame(header{kind: KindReady}, "[]"), ErrMalformed},
		{"another type", frame(header{kind: KindCommit}, `{"generation":"2"}`), ErrMalformed},
		{"a second object", frame(header{kind: KindCommit}, "{}{}"), ErrMalformed},
		{"bulk cut short", frame(header{kind: KindConn}, "\x00\x01"), ErrMalformed},
		{"bulk with a rest", frame(header{kind: KindConnAck}, "\x00\x00rest"), ErrMalformed},
		{"verdict without a name", frame(header{kind: KindConnAck}, "\x00\x0112345678\x05"), ErrMalformed},
		{"more connections than a batch", frame(header{kind: KindConn}, "\x00\x41"), ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.feed(t, test.bytes, 3)
			r.wantError(t, test.want)
		})
	}
}

func TestFirstFaultOfABulkFrameIsTheOneNamed(t *testing.T) {
	r := newRig(t)
	untilWait := "\x00\x01" + "connid 1" + "\x00\x00" + "\x01\x00\x00\x00"
	r.feed(t, frame(header{kind: KindConn}, untilWait+strings.Repeat("\xff", 8)))
	_, err := r.link.Receive()
	if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "duration") {
		t.Errorf("receive: %v, want the duration named", err)
	}
}

func TestBadHeaderIsNotReadPast(t *testing.T) {
	r := newRig(t)
	r.feed(t, frame(header{kind: KindReady}, "{}")[1:])
	r.feed(t, encoded(t, 1, &Ping{Seq: 1}, 0))
	r.wantError(t, ErrMalformed)
	r.wantError(t, ErrMalformed)
}

func TestDescriptorsThatNoFrameNamesBreakTheLink(t *testing.T) {
	r := newRig(t)
	fd := 3
	for range 4 {
		var fds []int
		for range maxDescriptors {
			fds = append(fds, fd)
			fd++
		}
		r.feed(t, encoded(t, 1, &Ping{}, 0), fds...)
	}
	r.want(t, 1, &Ping{})
	r.want(t, 1, &Ping{})
	r.wantError(t, ErrMalformed)
}

func TestReceiveDeadlineInsideAFrameLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		whole := encoded(t, 1, &Commit{Generation: 2}, 1)
		r.feed(t, whole[:20], 3)
		if err := r.link.SetReceiveDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		r.wantError(t, os.ErrDeadlineExceeded)
		if err := r.link.SetReceiveDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		r.feed(t, whole[20:])
		r.want(t, 1, &Commit{Generation: 2}, 3)
	})
}

func TestPendingSeesTheKernelAndTheLink(t *testing.T) {
	r := newRig(t)
	if r.link.Pending() {
		t.Error("pending before anything was sent")
	}
	r.feed(t, slices.Concat(encoded(t, 1, &Ping{Seq: 1}, 0), encoded(t, 1, &Ping{Seq: 2}, 0)))
	if !r.link.Pending() {
		t.Error("not pending with two frames in the kernel")
	}
	r.want(t, 1, &Ping{Seq: 1})
	if r.near.Readable() || !r.link.Pending() {
		t.Error("not pending with one frame in the link and none in the kernel")
	}
	r.want(t, 1, &Ping{Seq: 2})
	if r.link.Pending() {
		t.Error("pending with everything received")
	}
}

func TestFinishEndsReceiveAfterWhatHasCome(t *testing.T) {
	r := newRig(t)
	r.feed(t, encoded(t, 1, &Preview{Key: "a"}, 1), 3)
	r.feed(t, encoded(t, 1, &Gone{}, 0))
	if err := r.link.Finish(); err != nil {
		t.Fatal(err)
	}
	r.want(t, 1, &Preview{Key: "a"}, 3)
	r.want(t, 1, &Gone{})
	r.wantError(t, io.EOF)
}

func TestCloseEndsAReceiveThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		done := make(chan error, 1)
		go func() {
			_, err := r.link.Receive()
			done <- err
		}()
		synctest.Wait()
		if err := r.link.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("receive: %v, want net.ErrClosed", err)
		}
	})
}

func TestDiscardClosesWhatNoFrameClaimed(t *testing.T) {
	r := newRig(t)
	r.feed(t, encoded(t, 1, &Ping{}, 0), 3, 4)
	r.feed(t, encoded(t, 1, &Listeners{}, 1)[:20], 5)
	r.want(t, 1, &Ping{})
	if err := r.far.Close(); err != nil {
		t.Fatal(err)
	}
	r.wantError(t, io.ErrUnexpectedEOF)
	for range 2 {
		r.link.Discard()
	}
	for _, fd := range r.sent {
		if !r.wasClosed(fd) {
			t.Errorf("descriptor %d: %q, want closed", fd, r.fate[fd])
		}
	}
}

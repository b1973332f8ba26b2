package record

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCloseSendsCloseNotifyAndForgetsTheSecrets(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent = [][]byte{client.data("hello, of which not all is read")}
	if _, err := c.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil || !b.closed || time.Until(b.deadline) > partingTime || b.deadline.IsZero() {
		t.Fatalf("%v, closed %t, deadline %v", err, b.closed, b.deadline)
	}
	if h := client.hear(b); len(h.alerts) != 1 || h.alerts[0] != alertCloseNotify || h.records != 1 {
		t.Errorf("the client gets %+v", h)
	}
	if c.in.half.Secret() != nil || c.out.half.Secret() != nil || c.in.buffer != nil || c.in.plain != nil {
		t.Error("something is left")
	}
	ends(t, c, net.ErrClosed)
	for what, err := range map[string]error{
		"Close": c.Close(), "CloseWrite": c.CloseWrite(), "SetDeadline": c.SetDeadline(time.Now()),
		"SetReadDeadline": c.SetReadDeadline(time.Now()), "SetWriteDeadline": c.SetWriteDeadline(time.Now()),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if b.writes != 1 || c.Pending() {
		t.Error("it goes on")
	}
}

func TestCloseWriteLeavesReading(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	for range 2 {
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	}
	if h := client.hear(b); len(h.alerts) != 1 || h.records != 1 {
		t.Errorf("the client gets %+v", h)
	}
	if _, err := c.Write([]byte("more")); !errors.Is(err, errWritingClosed) {
		t.Errorf("Write: %v", err)
	}
	if _, err := c.Detach(); !errors.Is(err, errNotified) {
		t.Errorf("Detach: %v", err)
	}
	// No answer, and no alert, follows a close_notify.
	b.sent = [][]byte{client.keyUpdate(updateRequested), client.data("hello"), flip(client.data("x"), -1)}
	if got, err := reads(c, 600); got != "hello" || !isAlert(err, "local error", alertBadRecordMAC) {
		t.Errorf("%q, %v", got, err)
	}
	if err := c.Close(); err != nil || b.writes != 1 || !b.closed {
		t.Errorf("Close: %v, %d writes", err, b.writes)
	}
}

func TestCloseSaysThatCloseNotifyWasNotSent(t *testing.T) {
	c, b, _ := pair(t, allSuites[0])
	b.room, b.full = 3, os.ErrDeadlineExceeded
	if err := c.Close(); !errors.Is(err, os.ErrDeadlineExceeded) || !b.closed {
		t.Errorf("%v, closed %t", err, b.closed)
	}
}

func TestCloseEndsAReadAndAWriteThatAreUnderWay(t *testing.T) {
	c, under := blocking(t)
	reading := make(chan error, 1)
	go func() {
		_, err := c.Read(make([]byte, 600))
		reading <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-under; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := <-reading; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	c.in.Lock()
	c.out.Lock()
	defer c.in.Unlock()
	defer c.out.Unlock()
	if c.in.half.Secret() != nil || c.out.half.Secret() != nil {
		t.Error("a secret is left")
	}
}

func TestFatalAlertBoundsTheWriteThatIsUnderWay(t *testing.T) {
	c, b, client := pair(t, allSuites[0])
	b.sent = [][]byte{flip(client.data("x"), -1)}
	if _, err := c.Read(make([]byte, 600)); !isAlert(err, "local error", alertBadRecordMAC) {
		t.Fatal(err)
	}
	// A deadline that is lifted now would let the last write take for ever.
	for _, lift := range []func(time.Time) error{c.SetDeadline, c.SetWriteDeadline, c.SetReadDeadline} {
		if err := lift(time.Time{}); err != nil || b.deadline.IsZero() {
			t.Errorf("%v, deadline %v", err, b.deadline)
		}
	}
}

func TestConnTellsWhatIsBelow(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	id := allSuites[0]
	c := NewConn(ours, half(t, id, secret(t, id, 'c'), 0), half(t, id, secret(t, id, 's'), 0))
	defer func() {
		_ = theirs.Close()
		_ = c.Close()
	}()
	if c.NetConn() != ours || c.LocalAddr() != ours.LocalAddr() || c.RemoteAddr() != ours.RemoteAddr() {
		t.Error("it tells of something else")
	}
	if err := c.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 600)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	_ = theirs.Close()
	if _, err := c.Read(make([]byte, 600)); err != io.EOF {
		t.Error(err)
	}
}

func TestCloseAndDetachAtOnceEndTheConnOnce(t *testing.T) {
	id := allSuites[0]
	for range 200 {
		ours, theirs := net.Pipe()
		c := NewConn(ours, half(t, id, secret(t, id, 'c'), 0), half(t, id, secret(t, id, 's'), 0))
		client := &client{t: t, out: half(t, id, secret(t, id, 'c'), 0)}
		record := client.data("hello")
		var all sync.WaitGroup
		var ended atomic.Int32
		all.Go(func() { _, _ = theirs.Write(record) })
		all.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
		all.Go(func() { _, _ = c.Read(make([]byte, 600)) })
		all.Go(func() { _, _ = c.Write([]byte("hello")) })
		all.Go(func() { _ = c.SetDeadline(time.Time{}); c.Pending() })
		all.Go(func() {
			if s, err := c.Detach(); err == nil {
				ended.Add(1)
				_ = Continue(ours, s).Close()
			}
		})
		for range 2 {
			all.Go(func() {
				if c.Close() == nil {
					ended.Add(1)
				}
			})
		}
		all.Wait()
		if ended.Load() != 1 {
			t.Fatalf("it was ended %d times", ended.Load())
		}
		_ = theirs.Close()
	}
}

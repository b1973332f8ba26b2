package accept

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// listener says what it was told to say, one after the other, and nothing after that until it is closed.
type listener struct {
	says chan error // nil: somebody has connected
}

func (l *listener) Accept() (net.Conn, error) {
	err, open := <-l.says
	switch {
	case !open:
		err = net.ErrClosed
	case err == nil:
		return &net.UnixConn{}, nil
	}
	return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", err)}
}

func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "shop.sock", Net: "unix"} }

// TestNoWantEndsTheLoop, and each is said twice: when it begins, and when it is over. Guards: the default of Each's switch, which waits and
// accepts again; wait, which tells the first time from the others.
func TestNoWantEndsTheLoop(t *testing.T) {
	for _, want := range []error{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR, errors.New("something new"),
	} {
		l := &listener{make(chan error, 20)}
		for range 2 {
			for range 3 {
				l.says <- want
			}
			l.says <- nil
			l.says <- nil
		}
		close(l.says)
		var text bytes.Buffer
		clients := 0
		synctest.Test(t, func(t *testing.T) {
			err := Each(t.Context(), l, slog.New(slog.NewTextHandler(&text, nil)), func(net.Conn) { clients++ })
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v: ended with %v", want, err)
			}
		})
		if clients != 4 {
			t.Errorf("%v: %d clients, want 4", want, clients)
		}
		if warned, told := strings.Count(text.String(), "level=WARN"), strings.Count(text.String(), "level=INFO"); warned != 2 || told != 2 {
			t.Errorf("%v: %d warnings, %d that it is over\n%s", want, warned, told, &text)
		}
	}
}

// TestWaitGrowsToASecond and begins anew with the next client. Guard: the bounds of wait.
func TestWaitGrowsToASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{make(chan error)}
		ended := make(chan error, 1)
		go func() { ended <- Each(t.Context(), l, slog.New(slog.DiscardHandler), func(net.Conn) {}) }()
		said := func(what error) time.Duration {
			began := time.Now()
			l.says <- what
			return time.Since(began)
		}
		said(syscall.EMFILE)
		for _, want := range []int{5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000} {
			if got := said(syscall.EMFILE); got != time.Duration(want)*time.Millisecond {
				t.Errorf("waited %s, want %d ms", got, want)
			}
		}
		said(nil)
		said(syscall.EMFILE)
		if got := said(syscall.EMFILE); got != shortest {
			t.Errorf("with the next want: waited %s", got)
		}
		close(l.says)
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestWaitIsInterrupted at once, and a deadline is no want. Guards: ctx.Done in Each; os.ErrDeadlineExceeded in its switch.
func TestWaitIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listener{make(chan error)}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		each := func() { ended <- Each(ctx, l, slog.New(slog.DiscardHandler), func(net.Conn) {}) }
		go each()
		l.says <- os.ErrDeadlineExceeded
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("paused: %v", err)
		}
		go each()
		l.says <- syscall.EMFILE
		began := time.Now()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

package handover

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stage is a process's sessions without a life: the test plays the loop.
type stage struct {
	*sessions
	t  *testing.T
	ln *listener
}

func newStage(t *testing.T) *stage {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s := newSockets(net.ListenConfig{}, log)
	ln, err := s.listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	st := &stage{newSessions(s, log), t, ln.(*listener)}
	st.ln.openGate()
	return st
}

// dial returns both ends of a connection that was accepted.
func (st *stage) dial() (client, server net.Conn) {
	st.t.Helper()
	client, err := net.Dial("tcp", st.ln.Addr().String())
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { _ = client.Close() })
	_ = client.SetDeadline(time.Now().Add(10 * time.Second))
	server, err = st.ln.Accept()
	if err != nil {
		st.t.Fatal(err)
	}
	st.t.Cleanup(func() { _ = server.Close() })
	return client, server
}

// serve has serve handle c, and returns what becomes of it.
func (st *stage) serve(c net.Conn, unread string, serve func(*Session) error) (ended <-chan error) {
	st.t.Helper()
	kind := fmt.Sprint(st.t.Name(), len(st.kinds))
	if err := st.register(kind, serve); err != nil {
		st.t.Fatal(err)
	}
	result := make(chan error, 1)
	st.begin(kind)
	go func() { result <- st.run(kind, serve, c, &luggage{unread: []byte(unread)}) }()
	return result
}

// follow has sessions let go, as life does after FINAL.
func (st *stage) follow() {
	st.sockets.setMode(modeFollow)
	for _, s := range st.served() {
		s.ask()
	}
}

// captured waits for the next that was let go.
func (st *stage) captured() *conn {
	st.t.Helper()
	select {
	case <-st.sockets.changed:
	case <-time.After(10 * time.Second):
		st.t.Fatal("nothing was let go")
	}
	all := st.sockets.collect()
	if len(all) == 0 {
		return st.captured()
	}
	return all[0]
}

func receive[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// reads waits until the session is read in the kernel: nothing tells.
func reads(t *testing.T, s *Session) {
	t.Helper()
	late := time.Now().Add(10 * time.Second)
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for under := 0; under == 0; <-look.C {
		if time.Now().After(late) {
			t.Error("the session is not read")
			return
		}
		s.mu.Lock()
		under = s.readers
		s.mu.Unlock()
	}
}

// echo answers lines, and takes what it has read along.
func echo(s *Session) error {
	in := bufio.NewReader(s)
	for {
		if err := s.Wait(in.Buffered()); errors.Is(err, ErrLetGo) {
			unread, _ := in.Peek(in.Buffered())
			return s.LetGo(append(s.State(), '.'), unread)
		} else if err != nil {
			return err
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if _, err := io.WriteString(s, line); err != nil {
			return err
		}
	}
}

func exchange(t *testing.T, client net.Conn, send, want string) {
	t.Helper()
	if _, err := io.WriteString(client, send); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != want {
		t.Fatalf("%q was answered by %q, %v; want %q", send, got, err, want)
	}
}

func TestSessionThatWaitsIsLetGo(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	ended := st.serve(server, "first\n", echo)
	exchange(t, client, "second\n", "first\nsecond\n")
	st.follow()
	c := st.captured()
	if l := c.luggage; l.kind == "" || string(l.state) != "." || len(l.unread) > 0 {
		t.Errorf("it took along %+v", l)
	}
	c.gone(elsewhere)
	if err := receive(t, ended); err != nil {
		t.Errorf("a session that goes on elsewhere ended with %v", err)
	}
	if left := st.await(time.Second); left > 0 {
		t.Errorf("%d handlers have not returned", left)
	}
}

func TestSessionThatComesBackBeginsFromWhatItTookAlong(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	seen := make(chan string, 10)
	st.serve(server, "", func(s *Session) error {
		seen <- string(s.State())
		return echo(s)
	})
	exchange(t, client, "whole\nha", "whole\n")
	for _, want := range []string{"", ".", ".."} {
		if got := receive(t, seen); got != want {
			t.Fatalf("the handler began with state %q; want %q", got, want)
		}
		st.follow()
		exchange(t, client, "lf\nha", "") // asked within a line, it lets go at the end of that
		c := st.captured()
		st.sockets.setMode(modeStay)
		st.stay()
		st.sockets.watch(c)
		c.comesBack(false)
		exchange(t, client, "", "half\n")
	}
	if n := st.sockets.count(); n != 1 {
		t.Errorf("%d connections; want one", n)
	}
}

// TestWhatASessionKeepsComesBackWithIt, each time, and is forgotten where it goes on elsewhere or is lost. Guards: sessions.open, "kept: with.kept"; luggage.forget,
// "l.kept = nil".
func TestWhatASessionKeepsComesBackWithIt(t *testing.T) {
	for of, end := range map[string]fate{"elsewhere": elsewhere, "lost": nowhere} {
		t.Run(of, func(t *testing.T) {
			st := newStage(t)
			client, server := st.dial()
			seen := make(chan any, 1)
			ended := st.serve(server, "", func(s *Session) error {
				seen <- s.Kept()
				times, _ := s.Kept().(int)
				s.Keep(times + 1)
				return echo(s)
			})
			for _, want := range []any{nil, 1, 2} {
				if got := receive(t, seen); got != want {
					t.Fatalf("the handler began with %v; want %v", got, want)
				}
				exchange(t, client, "line\n", "line\n")
				st.follow()
				c := st.captured()
				if want == 2 {
					c.gone(end)
					<-ended
					if kept := c.luggage.kept; kept != nil {
						t.Errorf("%v is kept", kept)
					}
					return
				}
				st.sockets.setMode(modeStay)
				st.stay()
				st.sockets.watch(c)
				c.comesBack(false)
			}
		})
	}
}

// TestSessionThatWasDeclinedMayGoToAnotherGeneration, and is not asked by the one that has declined it. Guard: sessions.anew, "s.unbind()".
func TestSessionThatWasDeclinedMayGoToAnotherGeneration(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	st.serve(server, "", echo)
	exchange(t, client, "one\n", "one\n")
	st.follow()
	c := st.captured()
	st.sockets.watch(c)
	c.comesBack(true)
	exchange(t, client, "two\n", "two\n")
	if s := st.served()[0]; s.ask() {
		t.Error("it is asked to go where it was declined")
	}
	st.anew()
	st.follow()
	st.captured().gone(nowhere)
}

// TestHandlersMayAskWhetherASessionFollows while the loop of life begins to follow to another generation. Guard: Session.bound, "atomic.Bool", under the race
// detector.
func TestHandlersMayAskWhetherASessionFollows(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	st.serve(server, "", echo)
	exchange(t, client, "one\n", "one\n")
	st.sockets.setMode(modeFollow)
	asking, asked := make(chan struct{}), make(chan struct{})
	var begun atomic.Bool
	go func() {
		defer close(asked)
		for i := 0; !begun.Load(); i++ {
			if i == 1 {
				close(asking)
			}
			if !server.(*conn).follows() { // see departure
				t.Error("it does not follow")
			}
		}
	}()
	receive(t, asking)
	for range 10_000 {
		st.anew()
	}
	begun.Store(true)
	receive(t, asked)
}

// TestLetGoThatNobodyAskedForBeginsAnewHere: there is nowhere to go.
func TestLetGoThatNobodyAskedForBeginsAnewHere(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	ended := st.serve(server, "", func(s *Session) error {
		if s.State() == nil {
			return s.LetGo([]byte("state"), []byte("unread\n"))
		}
		return echo(s)
	})
	exchange(t, client, "", "unread\n")
	if all, open := st.sockets.collect(), st.sockets.count(); len(all) > 0 || open != 1 {
		t.Errorf("%d connections were captured, %d are open; want one that is open", len(all), open)
	}
	_ = client.Close()
	receive(t, ended)
	if n := st.sockets.count(); n > 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestSessionIsNotInterruptedInMidMessage: a Read that is no Wait brings what the client sends, whatever is asked meanwhile.
func TestSessionIsNotInterruptedInMidMessage(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	begun, read := make(chan struct{}), make(chan string)
	st.serve(server, "", func(s *Session) error {
		if err := s.Wait(0); err != nil {
			return err
		}
		b := make([]byte, 6)
		close(begun)
		if _, err := io.ReadFull(s, b); err != nil {
			return err
		}
		read <- string(b)
		if err := s.Wait(0); !errors.Is(err, ErrLetGo) {
			read <- fmt.Sprintf("then %v, not ErrLetGo", err)
		}
		return s.LetGo(nil, nil)
	})
	exchange(t, client, "mes", "")
	receive(t, begun)
	st.follow()
	exchange(t, client, "sage and more", "")
	if got := receive(t, read); got != "messag" {
		t.Errorf("read %q", got)
	}
	c := st.captured()
	rest := make([]byte, 100)
	_ = c.Conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	unread := string(c.luggage.unread)
	for unread != "e and more" {
		n, err := c.Conn.Read(rest)
		if unread += string(rest[:n]); err != nil {
			t.Fatalf("its last bytes are %q, %v", unread, err)
		}
	}
	c.gone(nowhere)
}

func TestSessionThatWasLetGoIsReadAndWrittenNoMore(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	old := make(chan *Session, 1)
	ended := st.serve(server, "held back", func(s *Session) error {
		old <- s
		<-s.Leaving()
		if err := s.Wait(0); !errors.Is(err, ErrLetGo) {
			return fmt.Errorf("Wait: %w", err)
		}
		return s.LetGo(nil, []byte("read, "))
	})
	s := receive(t, old)
	st.follow()
	c := st.captured()
	if got := string(c.luggage.unread); got != "read, held back" {
		t.Errorf("it took along %q", got)
	}
	_, writing := s.Write([]byte("stray"))
	_, reading := s.Read(make([]byte, 1))
	for what, err := range map[string]error{
		"Write": writing, "Read": reading, "Wait": s.Wait(0), "SetDeadline": s.SetDeadline(time.Now()), "LetGo": s.LetGo(nil, nil),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v; want net.ErrClosed", what, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Close(); err != nil { // as a handler's defer does
		t.Error(err)
	}
	if n, err := c.Conn.Write([]byte("alive")); n != 5 || err != nil {
		t.Errorf("the connection did not outlive its session: %v", err)
	}
	exchange(t, client, "", "alive")
	c.gone(nowhere)
	if err := receive(t, ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a session that was cut on its way ended with %v", err)
	}
}

// TestLetGoAwaitsAWriteThatIsUnderWay: the next generation writes after it.
func TestLetGoAwaitsAWriteThatIsUnderWay(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	const size = 8 << 20 // more than both buffers hold
	writing, wrote, letGo := make(chan struct{}), make(chan error, 1), make(chan error, 1)
	ended := st.serve(server, "", func(s *Session) error {
		go func() {
			close(writing)
			_, err := s.Write(make([]byte, size))
			wrote <- err
		}()
		if err := s.Wait(0); !errors.Is(err, ErrLetGo) {
			return err
		}
		letGo <- s.LetGo(nil, nil)
		return nil
	})
	receive(t, writing)
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	st.follow()
	select {
	case err := <-letGo:
		t.Errorf("LetGo answered %v while a Write is under way", err)
	case <-time.After(50 * time.Millisecond):
	}
	if n, err := io.CopyN(io.Discard, client, size-1); err != nil {
		t.Fatalf("%d bytes came: %v", n, err)
	}
	c := st.captured()
	if err := receive(t, wrote); err != nil {
		t.Error(err)
	}
	c.gone(elsewhere)
	receive(t, ended)
}

// TestSessionEndsWithAHandlerThatPanics: net/http recovers, and leaves what was hijacked to its handler.
func TestSessionEndsWithAHandlerThatPanics(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	panicked := make(chan any, 1)
	if err := st.register("panics", func(*Session) error { panic("no luck") }); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer func() { panicked <- recover() }()
		_ = st.run("panics", st.begin("panics"), server, &luggage{})
	}()
	if got := receive(t, panicked); got != "no luck" {
		t.Errorf("recovered %v", got)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the client reads %v; want the end", err)
	}
	if n := st.sockets.count() + st.await(0); n > 0 {
		t.Errorf("%d connections and handlers are left", n)
	}
}

func TestLetGoThatIsNotPossibleLeavesTheSessionAsItIs(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	reading, done := make(chan struct{}), make(chan []error, 1)
	st.serve(server, "", func(s *Session) error {
		var all []error
		all = append(all, s.LetGo(make([]byte, MaxSessionState+1), nil), s.LetGo(nil, make([]byte, MaxSessionUnread+1)))
		read := make(chan error)
		go func() {
			b := make([]byte, 4)
			close(reading)
			_, err := io.ReadFull(s, b[:2])
			read <- err
			_, err = io.ReadFull(s, b[2:])
			read <- err
		}()
		all = append(all, <-read)
		reads(t, s)
		all = append(all, s.LetGo(nil, nil))
		_, err := s.Write([]byte("on"))
		all = append(all, err, <-read)
		done <- all
		return nil
	})
	receive(t, reading)
	st.follow()
	exchange(t, client, "ab", "on")
	exchange(t, client, "cd", "")
	all := receive(t, done)
	for i, want := range []string{"state of 65537 bytes", "65537 bytes unread", "", "a Read is under way", "", ""} {
		if err := all[i]; (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("step %d: %v; want %q", i, err, want)
		}
	}
}

// layered is a connection that the program has made of another.
type layered struct{ net.Conn }

func TestSessionOfAWrappedConnectionStays(t *testing.T) {
	st := newStage(t)
	client, server := st.dial()
	results := make(chan error, 3)
	ended := st.serve(layered{server}, "", func(s *Session) error {
		results <- s.LetGo(nil, nil)
		select {
		case <-s.Leaving():
			results <- errors.New("it was asked to leave")
		default:
			results <- nil
		}
		return echo(s)
	})
	st.follow()
	if err := receive(t, results); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("let go: %v; want ErrUnsupported", err)
	}
	if err := receive(t, results); err != nil {
		t.Error(err)
	}
	exchange(t, client, "line\n", "line\n")
	_ = client.Close()
	if err := receive(t, ended); !errors.Is(err, io.EOF) {
		t.Errorf("ended with %v", err)
	}
	if n := st.sockets.count(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestLeavingIsTakenBackWhenSessionsStay: who waits from then on waits for the next time.
func TestLeavingIsTakenBackWhenSessionsStay(t *testing.T) {
	st := newStage(t)
	_, server := st.dial()
	given, hold := make(chan *Session, 1), make(chan struct{})
	ended := st.serve(server, "", func(s *Session) error {
		given <- s
		<-hold
		return s.Wait(1)
	})
	s := receive(t, given)
	leaving := s.Leaving()
	st.follow()
	receive(t, leaving)
	st.sockets.setMode(modeStay)
	st.stay()
	select {
	case <-s.Leaving():
		t.Error("it is still to leave")
	default:
	}
	close(hold)
	if err := receive(t, ended); err != nil {
		t.Errorf("Wait: %v; want nothing", err)
	}
}

func TestWaitKeepsTheProgramsDeadline(t *testing.T) {
	st := newStage(t)
	_, server := st.dial()
	given, results := make(chan *Session, 1), make(chan error, 2)
	st.serve(server, "", func(s *Session) error {
		_ = s.SetReadDeadline(time.Now().Add(2 * time.Second))
		given <- s
		results <- s.Wait(0)
		results <- s.Wait(0) // it goes on, and waits as long as it wanted to
		return nil
	})
	reads(t, receive(t, given))
	st.follow()
	for _, want := range []error{ErrLetGo, os.ErrDeadlineExceeded} {
		if err := receive(t, results); !errors.Is(err, want) {
			t.Errorf("Wait: %v; want %v", err, want)
		}
	}
}

func TestKindsAreNamesAndRegisteredOnce(t *testing.T) {
	st := newStage(t)
	handler := func(*Session) error { return nil }
	if err := st.register("chat", handler); err != nil {
		t.Fatal(err)
	}
	for name, serve := range map[string]func(*Session) error{"": handler, strings.Repeat("a", 256): handler, "chat": handler, "none": nil} {
		if st.register(name, serve) == nil {
			t.Errorf("kind %.10q was registered", name)
		}
	}
	if kinds := slices.Sorted(func(yield func(string) bool) {
		for k := range st.kinds {
			if !yield(k) {
				return
			}
		}
	}); !slices.Equal(kinds, []string{"chat"}) {
		t.Errorf("kinds are %v", kinds)
	}
}

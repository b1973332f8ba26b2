package handover

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// tunnel carries a session on another, of which it takes the state along.
type tunnel struct {
	net.Conn             // the session below
	left     chan []byte // closed by Close, or has what the session above takes along
}

func (c *tunnel) NetConn() net.Conn { return c.Conn }

func (c *tunnel) Carry(_ string, state, _ []byte) error {
	c.left <- state
	return nil
}

func (c *tunnel) Close() error {
	close(c.left)
	return c.Conn.Close()
}

// carried has echo stand on a tunnel through a connection that was accepted, and returns what becomes of the session above, as who has called
// ServeSession is told. letGo lets go the one below.
func (st *stage) carried(letGo func(s *Session, state []byte) error) (client net.Conn, ended <-chan error) {
	st.t.Helper()
	p := &Process{sessions: st.sessions}
	if err := p.Sessions("above", echo); err != nil {
		st.t.Fatal(err)
	}
	began := make(chan *tunnel, 1)
	client, server := st.dial()
	st.serve(server, "", func(s *Session) error {
		c := &tunnel{s, make(chan []byte, 1)}
		if s.State() == nil {
			began <- c
		} else {
			go func() { _ = p.ContinueSession("above", c, s.State(), nil) }()
		}
		if state, left := <-c.left; left {
			return letGo(s, state)
		}
		return nil
	})
	result := make(chan error, 1)
	go func() { result <- p.ServeSession("above", receive(st.t, began), nil) }()
	return client, result
}

func letsGo(s *Session, state []byte) error { return s.LetGo(state, nil) }

// hasNotEnded reports that the session has not ended for its caller.
func hasNotEnded(t *testing.T, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		t.Fatalf("ServeSession returned %v, and the session has not ended", err)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestWhoServesACarriedSessionLearnsWhatBecomesOfIt: ServeSession returns as for any other, not as its handler lets go. Guards: sessions.run, "s.tell(f)";
// Session.board, "s.luggage = l".
func TestWhoServesACarriedSessionLearnsWhatBecomesOfIt(t *testing.T) {
	for of, c := range map[string]struct {
		fate fate
		want error
	}{"it goes on elsewhere": {elsewhere, nil}, "it is cut on its way": {nowhere, net.ErrClosed}} {
		t.Run(of, func(t *testing.T) {
			st := newStage(t)
			client, ended := st.carried(letsGo)
			exchange(t, client, "line\n", "line\n")
			st.follow()
			below := st.captured()
			hasNotEnded(t, ended)
			below.gone(c.fate)
			if err := receive(t, ended); !errors.Is(err, c.want) {
				t.Errorf("it ended with %v; want %v", err, c.want)
			}
		})
	}
}

// TestCarriedSessionEndsWithTheOneBelow that ends in place of leaving. Guard: sessions.run, the first "s.tell(nowhere)".
func TestCarriedSessionEndsWithTheOneBelow(t *testing.T) {
	st := newStage(t)
	client, ended := st.carried(func(*Session, []byte) error { return errors.New("it cannot go") })
	exchange(t, client, "line\n", "line\n")
	st.follow()
	if err := receive(t, ended); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ended with %v; want net.ErrClosed", err)
	}
}

// TestCarriedSessionThatComesBackIsItsCallersAgain: it is not served behind the back of who has called ServeSession. Guard: Process.ContinueSession,
// "resume".
func TestCarriedSessionThatComesBackIsItsCallersAgain(t *testing.T) {
	st := newStage(t)
	client, ended := st.carried(letsGo)
	exchange(t, client, "one\n", "one\n")
	for _, line := range []string{"two\n", "three\n"} {
		st.follow()
		below := st.captured()
		st.sockets.setMode(modeStay)
		st.stay()
		st.sockets.watch(below)
		below.comesBack(false)
		exchange(t, client, line, line)
		hasNotEnded(t, ended)
	}
	_ = client.Close()
	if err := receive(t, ended); !errors.Is(err, io.EOF) {
		t.Errorf("it ended with %v; want what its handler has returned", err)
	}
	if left := st.await(10 * time.Second); left > 0 {
		t.Errorf("%d handlers have not returned", left)
	}
}

// TestCarrierTakesMoreAlongThanWhatItCarries: for both there is room. What could not be let go again is declined. Guards: Process.CarrierSessions, "k.most";
// sessionKind.decide, "k.fits".
func TestCarrierTakesMoreAlongThanWhatItCarries(t *testing.T) {
	st := newStage(t)
	p := &Process{sessions: st.sessions}
	_, server := st.dial()
	letGo := make(chan error, 2)
	serve := func(s *Session) error {
		letGo <- s.LetGo(make([]byte, MaxCarrierState+1), nil)
		<-s.Leaving()
		letGo <- s.LetGo(make([]byte, MaxCarrierState), make([]byte, MaxSessionUnread))
		return nil
	}
	admit := func([]byte) (func(*Session) error, error) { return serve, nil }
	if err := errors.Join(p.CarrierSessions("carrier", serve, admit), p.Sessions("plain", serve)); err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.ServeSession("carrier", server, nil) }()
	if err := receive(t, letGo); err == nil {
		t.Error("a carrier was let go with too much")
	}
	st.follow()
	if err := receive(t, letGo); err != nil {
		t.Error(err)
	}
	st.captured().gone(nowhere)
	for _, c := range []struct {
		kind          string
		state, unread int
		want          wire.Verdict
	}{
		{"carrier", MaxCarrierState, MaxSessionUnread, wire.Accepted},
		{"carrier", MaxCarrierState + 1, 0, wire.Declined},
		{"plain", MaxSessionState, MaxSessionUnread, wire.Accepted},
		{"plain", MaxSessionState + 1, 0, wire.Declined},
		{"plain", 0, MaxSessionUnread + 1, wire.Declined},
		{"another", 0, 0, wire.Refused},
	} {
		if got, _ := st.judge(wire.Conn{Name: c.kind, State: make([]byte, c.state), Unread: make([]byte, c.unread)}); got != c.want {
			t.Errorf("kind %q, %d bytes of state and %d unread: verdict %d; want %d", c.kind, c.state, c.unread, got, c.want)
		}
		if err := p.AdmitCarried(c.kind, make([]byte, c.state)); (err == nil) != (c.want == wire.Accepted || c.state == 0 && c.want == wire.Declined) {
			t.Errorf("kind %q, %d bytes of state, carried: %v", c.kind, c.state, err)
		}
	}
}

// TestSessionIsServedByWhatAdmitHasReturned, also when it comes back. Guard: sessions.receive, "c.admitted".
func TestSessionIsServedByWhatAdmitHasReturned(t *testing.T) {
	st := newStage(t)
	p := &Process{sessions: st.sessions}
	served, admitted := make(chan string, 10), 0
	admit := func([]byte) (func(*Session) error, error) {
		admitted++
		return func(s *Session) error {
			served <- string(s.State())
			return echo(s)
		}, nil
	}
	if err := p.CarrierSessions("carrier", func(*Session) error { return errors.New("not this one") }, admit); err != nil {
		t.Fatal(err)
	}
	client, server := st.dial()
	w := wire.Conn{Name: "carrier", State: []byte("state")}
	_, serve := st.judge(w)
	st.receive(arrived(st.sockets, server.(*conn).Conn, w, serve), w)
	for _, want := range []string{"state", "state."} {
		if got := receive(t, served); got != want {
			t.Errorf("it begins with %q; want %q", got, want)
		}
		exchange(t, client, "line\n", "line\n")
		st.follow()
		c := st.captured()
		st.sockets.setMode(modeStay)
		st.stay()
		c.comesBack(false)
	}
	receive(t, served)
	if admitted != 1 {
		t.Errorf("decided %d times", admitted)
	}
}

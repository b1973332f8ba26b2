package handover

import (
	"bytes"
	"errors"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// TestWhatConnectionsBringIsForgottenWhereTheyAreNotTaken: they go on elsewhere, with what may be secret. Guards: Forget in life.receive, arrivals.close and
// peer.CloseDescriptors; a case fails without each.
func TestWhatConnectionsBringIsForgottenWhereTheyAreNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		kind        string
		state       state
		lost        bool
		descriptors int
		gone        bool // the sender
		do          func(l *life, from *peer.Peer, f *wire.Frame, m *wire.Conns)
	}{
		"refused":                 {kind: "unknown", state: serving, descriptors: 1, do: (*life).receive},
		"declined":                {kind: "choosy", state: serving, descriptors: 1, do: (*life).receive},
		"to be tried again":       {kind: "known", state: draining, descriptors: 1, do: (*life).receive},
		"without descriptors":     {kind: "known", state: serving, lost: true, do: (*life).receive},
		"with too many":           {kind: "known", state: serving, descriptors: 2, do: (*life).receive},
		"in doubt":                {kind: "known", state: serving, descriptors: 1, gone: true, do: inDoubt},
		"of a peer that was left": {kind: "known", state: serving, descriptors: 1, do: left},
	} {
		t.Run(name, func(t *testing.T) {
			st := newStage(t)
			serve := func(*Session) error { return errors.New("taken") }
			if err := errors.Join(st.register("known", serve), st.register("choosy", serve)); err != nil {
				t.Fatal(err)
			}
			st.kinds["choosy"].admit = func([]byte) (func(*Session) error, error) { return nil, errors.New("no") }
			l := newLife(&Process{config: Config{Logger: slog.New(slog.DiscardHandler)}, sockets: st.sockets, sessions: st.sessions}, c.state)
			here, there, err := platform.SocketPair()
			if err != nil {
				t.Fatal(err)
			}
			from := &peer.Peer{Link: peer.NewLink(here)}
			t.Cleanup(func() { _ = from.Link.Close(); _ = there.Close() })
			if c.gone {
				_ = from.Link.Close()
			}
			_, server := st.dial()
			fd, err := platform.FD(server.(*conn).Conn.(syscall.Conn))
			if err != nil {
				t.Fatal(err)
			}
			state, unread := []byte("state"), []byte("unread")
			m := &wire.Conns{Conns: []wire.Conn{{ID: 1, Type: wire.ConnSession, Name: c.kind, State: state, Unread: unread}}}
			f := &wire.Frame{Message: m, Lost: c.lost}
			for range c.descriptors {
				other, err := platform.Duplicate(fd)
				if err != nil {
					t.Fatal(err)
				}
				f.Descriptors = append(f.Descriptors, other)
			}
			c.do(l, from, f, m)
			if secret := append(state, unread...); !bytes.Equal(secret, make([]byte, len(secret))) {
				t.Errorf("%q is left of what it brought", secret)
			}
		})
	}
}

// inDoubt has the verdict not sent, while the sender lives.
func inDoubt(l *life, from *peer.Peer, f *wire.Frame, m *wire.Conns) {
	l.receive(from, f, m)
	l.clear(peer.Report{Peer: from, On: peer.LinkEnded})
}

// left has the frame come when nobody listens to who sent it.
func left(l *life, from *peer.Peer, f *wire.Frame, _ *wire.Conns) {
	l.happened(peer.Report{Peer: from, On: peer.Spoke, Frame: f})
}

// TestConnectionsThatComeTwiceAreTakenOnce. Guard: Peer.LastConn; without it a session is served twice, each time with what the other reads.
func TestConnectionsThatComeTwiceAreTakenOnce(t *testing.T) {
	st := newStage(t)
	served := make(chan struct{}, 2)
	if err := st.register("known", func(*Session) error { served <- struct{}{}; return nil }); err != nil {
		t.Fatal(err)
	}
	l := newLife(&Process{config: Config{Logger: slog.New(slog.DiscardHandler)}, sockets: st.sockets, sessions: st.sessions}, serving)
	here, there, err := platform.SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	from, theirs := &peer.Peer{Link: peer.NewLink(here)}, peer.NewLink(there)
	t.Cleanup(func() { _ = from.Link.Close(); _ = theirs.Close() })
	_, server := st.dial()
	fd, err := platform.FD(server.(*conn).Conn.(syscall.Conn))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []uint64{7, 7, 8} {
		other, err := platform.Duplicate(fd)
		if err != nil {
			t.Fatal(err)
		}
		m := &wire.Conns{Conns: []wire.Conn{{ID: id, Type: wire.ConnSession, Name: "known"}}}
		l.receive(from, &wire.Frame{Message: m, Descriptors: []int{other}}, m)
	}
	for _, id := range []uint64{7, 8} {
		f, err := theirs.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if v := f.Message.(*wire.Verdicts).Verdicts; len(v) != 1 || v[0] != (wire.ConnVerdict{ID: id, Verdict: wire.Accepted}) {
			t.Errorf("verdicts %v; want connection %d accepted", v, id)
		}
		receive(t, served)
	}
	if left := st.await(10 * time.Second); left > 0 || len(served) > 0 {
		t.Errorf("%d are served still, and %d more were", left, len(served))
	}
}

//go:build linux

package livetls

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
	"github.com/handover-go/handover/test/internal/rig"
)

// chopper writes in pieces of so many bytes, each a record.
type chopper struct {
	net.Conn
	size int
}

func (c *chopper) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = c.Conn.Write(p[n:min(len(p), n+c.size)])
		n += m
	}
	return n, err
}

// webSocket is a client that is not ours, over TLS. It knows which count comes next, and which push.
type webSocket struct {
	t       testing.TB
	ctx     context.Context
	conn    *websocket.Conn
	below   *client.Scissors
	answers int
	pushes  int
}

// speaks makes one whose records hold so many bytes of what it says.
func (s *service) speaks(size int) *webSocket {
	s.t.Helper()
	w := &webSocket{t: s.t, ctx: s.Ctx}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		w.below = &client.Scissors{Conn: raw}
		return &chopper{tls.Client(w.below, s.Trusts()), size}, nil
	}
	conn, _, err := websocket.Dial(s.Ctx, "wss://"+s.Secure+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{DialTLSContext: dial}}})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(1 << 20)
	w.conn = conn
	return w
}

// say says a message in fragments, and is answered by the same.
func (w *webSocket) say(fragments ...string) error {
	if err := w.write(fragments...); err != nil {
		return err
	}
	answer, err := w.hear()
	if want := strings.Join(fragments, ""); err == nil && answer != want {
		err = fmt.Errorf("answer %.40q; want %.40q", answer, want)
	}
	return err
}

func (w *webSocket) write(fragments ...string) error {
	message, err := w.conn.Writer(w.ctx, websocket.MessageText)
	if err != nil {
		return err
	}
	for _, f := range fragments {
		if _, err := message.Write([]byte(f)); err != nil {
			return err
		}
	}
	return message.Close()
}

// hear returns the next answer. Nothing is missing before it, and nothing comes twice.
func (w *webSocket) hear() (string, error) {
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	for {
		_, b, err := w.conn.Read(ctx)
		if err != nil {
			return "", err
		}
		if n, pushed := strings.CutPrefix(string(b), "push "); pushed {
			if w.pushes++; n != strconv.Itoa(w.pushes) {
				return "", fmt.Errorf("pushed %s; want %d", n, w.pushes)
			}
			continue
		}
		count, answer, _ := strings.Cut(string(b), " ")
		if w.answers++; count != strconv.Itoa(w.answers) {
			return "", fmt.Errorf("answer %.40q; want the count %d", b, w.answers)
		}
		return answer, nil
	}
}

// isOf asks which process has the session.
func (w *webSocket) isOf(pid int) {
	w.t.Helper()
	err := w.write("who")
	var answer string
	if err == nil {
		answer, err = w.hear()
	}
	if err != nil || answer != strconv.Itoa(pid) {
		w.t.Fatalf("the WebSocket is of process %q, %v; want %d", answer, err, pid)
	}
}

// lines is a client of a session of lines over TLS.
type lines struct {
	*chopper
	in    *bufio.Reader
	below *client.Scissors
	count int
}

func (s *service) dialLines(address string, size int) *lines {
	s.t.Helper()
	config, below := s.Trusts(), &client.Scissors{Conn: client.Dial(s.t, address, patience)}
	config.NextProtos = []string{"lines"}
	c := tls.Client(below, config)
	return &lines{chopper: &chopper{c, size}, in: bufio.NewReader(c), below: below}
}

func (l *lines) say(line string) error {
	if _, err := fmt.Fprintln(l.chopper, line); err != nil {
		return err
	}
	answer, err := l.hear()
	if err == nil && answer != line {
		err = fmt.Errorf("answer %.40q; want %.40q", answer, line)
	}
	return err
}

func (l *lines) hear() (string, error) {
	_ = l.SetReadDeadline(time.Now().Add(patience))
	text, err := l.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	l.count++
	count, answer, _ := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
	if count != strconv.Itoa(l.count) {
		return "", fmt.Errorf("answer %q; want the count %d", text, l.count)
	}
	return answer, nil
}

func (l *lines) isOf(t testing.TB, pid int) {
	t.Helper()
	_, err := fmt.Fprintln(l.chopper, "who")
	var answer string
	if err == nil {
		answer, err = l.hear()
	}
	if err != nil || answer != strconv.Itoa(pid) {
		t.Fatalf("the session is of process %q, %v; want %d", answer, err, pid)
	}
}

// startSessions starts a service with sessions of lines at address, over TLS.
func startSessions(t *testing.T) (s *service, address string) {
	t.Helper()
	address = handovertest.FreeAddress(t)
	return start(t, "SESSIONS=tls:tcp:"+address), address
}

// TestSessionsOverTLSOutliveTenUpgrades: WebSockets and lines, in records of all sizes, at work, pushed to, or silent: one connection each, and no message
// is lost or comes twice. Guard: conn.Carry, "slices.Concat(unread, last.Plain)".
func TestSessionsOverTLSOutliveTenUpgrades(t *testing.T) {
	t.Parallel()
	s, address := startSessions(t)
	long := string(bytes.Repeat([]byte("large "), 4000))
	var over atomic.Bool
	var talking sync.WaitGroup
	talk := func(of string, round func() error) {
		talking.Go(func() {
			for !over.Load() {
				if err := round(); err != nil {
					t.Errorf("%s: %v", of, err)
					return
				}
			}
		})
	}
	var answers []*int
	for _, size := range []int{1 << 14, 1000, 7} {
		w, l := s.speaks(size), s.dialLines(address, size)
		talk(fmt.Sprintf("WebSocket in records of %d", size), func() error {
			return errors.Join(w.say("whole"), w.say("in ", long[:min(len(long), 100*size)], " frag", "ments"))
		})
		talk(fmt.Sprintf("lines in records of %d", size), func() error {
			return errors.Join(l.say("line"), l.say(long[:min(len(long), 100*size)]))
		})
		answers = append(answers, &w.answers, &l.count)
	}
	pushed, silent, silentLines := s.speaks(1<<14), s.speaks(1<<14), s.dialLines(address, 1<<14)
	if err := errors.Join(pushed.say("push"), silentLines.say("first")); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s.Replaced()
	}
	over.Store(true)
	talking.Wait()
	last := s.PID()
	pushed.isOf(last)
	silent.isOf(last)
	silentLines.isOf(t, last)
	total := 0
	for _, n := range answers {
		total += *n
	}
	t.Logf("%d messages answered, %d pushed", total, pushed.pushes)
}

// TestMessageSplitOverRecordsAtTheSwitchIsWhole: half of it has come in records of its own, or in half of one.
func TestMessageSplitOverRecordsAtTheSwitchIsWhole(t *testing.T) {
	t.Parallel()
	s, address := startSessions(t)
	before := s.PID()
	cuts := []func([]byte) int{first, header, half, allButOne}
	sockets, all := make([]*webSocket, len(cuts)), make([]*lines, len(cuts))
	rests := make(map[*client.Scissors][]byte)
	held := func(of *client.Scissors, cut func([]byte) int, say func() error) {
		var err error
		all := of.Held(func() { err = say() })
		at := cut(all)
		if _, writing := of.Conn.Write(all[:at]); err != nil || writing != nil {
			t.Fatal(err, writing)
		}
		rests[of] = all[at:]
	}
	for i, cut := range cuts {
		w, l := s.speaks(5), s.dialLines(address, 5)
		w.isOf(before)
		l.isOf(t, before)
		held(w.below, cut, func() error { return w.write("split") })
		held(l.below, cut, func() error { _, err := fmt.Fprintln(l.chopper, "split in parts"); return err })
		sockets[i], all[i] = w, l
	}
	s.Next()
	for of, rest := range rests {
		if _, err := of.Conn.Write(rest); err != nil {
			t.Fatal(err)
		}
	}
	for i := range cuts {
		if answer, err := sockets[i].hear(); err != nil || answer != "split" {
			t.Errorf("cut %d of a WebSocket: %q, %v", i, answer, err)
		}
		if answer, err := all[i].hear(); err != nil || answer != "split in parts" {
			t.Errorf("cut %d of lines: %q, %v", i, answer, err)
		}
	}
	s.AwaitExit(before)
	after := s.Replaced()
	for i := range cuts {
		sockets[i].isOf(after)
		all[i].isOf(t, after)
	}
}

// TestSessionOverTLSOfAnUnknownKindStays with its connection, and goes to the next build that knows it. Guards: listener.admit, "ServesSessions"; sessions.anew,
// "s.unbind()".
func TestSessionOverTLSOfAnUnknownKindStays(t *testing.T) {
	t.Parallel()
	s, address := startSessions(t)
	first := s.PID()
	w, l, v := s.speaks(1<<14), s.dialLines(address, 1<<14), s.visit()
	if err := errors.Join(w.say("one"), l.say("one")); err != nil {
		t.Fatal(err)
	}
	good := rig.Build(t, "")
	s.Swap(rig.Build(t, "sessionless"))
	declined := s.WatchFor(`msg="a session is declined"`, "no handler for the sessions of kind")
	second := s.Next()
	s.Line(declined, "nobody is declined")
	v.IsOf(second)
	w.isOf(first)
	l.isOf(t, first)
	s.Swap(good)
	third := s.Next()
	s.AwaitExit(first)
	s.AwaitExit(second)
	w.isOf(third)
	l.isOf(t, third)
	v.IsOf(third)
	for _, one := range []func(string) error{func(m string) error { return w.say(m) }, l.say} {
		if err := one("and goes on"); err != nil {
			t.Error(err)
		}
	}
}

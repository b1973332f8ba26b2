//go:build linux

package traffic

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// webSocketClient is a client that is not ours. Messages that nobody asked for are told from answers.
type webSocketClient struct {
	t       *testing.T
	ctx     context.Context
	conn    *websocket.Conn
	pushed  int
	answers chan string
	pushes  chan struct{} // one for each, as long as there is room
	ended   chan error
}

func (s *service) dialWebSocket(t *testing.T) *webSocketClient {
	t.Helper()
	conn, _, err := websocket.Dial(s.Ctx, "ws://"+s.address+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	t.Cleanup(func() { conn.CloseNow() })
	c := &webSocketClient{
		t: t, ctx: s.Ctx, conn: conn,
		answers: make(chan string, 1000), pushes: make(chan struct{}, 1000), ended: make(chan error, 1),
	}
	go func() { c.ended <- c.read() }()
	return c
}

// read checks that no number is left out or comes twice.
func (c *webSocketClient) read() error {
	defer close(c.answers)
	for answers := 0; ; {
		_, b, err := c.conn.Read(c.ctx)
		if err != nil {
			return err
		}
		message := string(b)
		if n, ok := strings.CutPrefix(message, "push "); ok {
			c.pushed++
			if n != strconv.Itoa(c.pushed) {
				return fmt.Errorf("pushed %s; want %d", n, c.pushed)
			}
			select {
			case c.pushes <- struct{}{}:
			default:
			}
			continue
		}
		count, answer, _ := strings.Cut(message, " ")
		if answers++; count != strconv.Itoa(answers) {
			return fmt.Errorf("answer %.40q; want the count %d", message, answers)
		}
		c.answers <- answer
	}
}

// say sends a message in fragments, and returns what it is answered by.
func (c *webSocketClient) say(fragments ...string) (string, error) {
	w, err := c.conn.Writer(c.ctx, websocket.MessageText)
	if err != nil {
		return "", err
	}
	for _, f := range fragments {
		if _, err := w.Write([]byte(f)); err != nil { // each a frame
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return c.answer()
}

func (c *webSocketClient) answer() (string, error) {
	patient, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	select {
	case answer, ok := <-c.answers:
		if !ok {
			return "", fmt.Errorf("session ended: %w", <-c.ended)
		}
		return answer, nil
	case <-patient.Done():
		return "", patient.Err()
	}
}

func (c *webSocketClient) who() (pid int) {
	c.t.Helper()
	answer, err := c.say("who")
	if err == nil {
		pid, err = strconv.Atoi(answer)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return pid
}

// TestWebSocketsOutliveTenUpgrades with a client that is not ours: messages in both directions, whole and in fragments, pings, and connections
// that are silent or are only pushed to. Numbers never jump or repeat.
func TestWebSocketsOutliveTenUpgrades(t *testing.T) {
	t.Parallel()
	s := start(t)
	c := &crowd{t: t}
	large := string(bytes.Repeat([]byte("large "), 5000))
	talk := func(messages ...[]string) {
		client := s.dialWebSocket(t)
		c.all.Go(func() {
			for !c.over.Load() {
				for _, fragments := range messages {
					answer, err := client.say(fragments...)
					if err == nil && answer != strings.Join(fragments, "") {
						err = fmt.Errorf("answer %.40q", answer)
					}
					if err == nil && len(fragments) == 1 {
						err = client.conn.Ping(client.ctx)
					}
					if err != nil {
						t.Error(err)
						return
					}
					c.answers.Add(1)
				}
			}
		})
	}
	var pushed, silent []*webSocketClient
	for range 6 {
		talk([]string{"whole"}, []string{large}, []string{"in ", large, " frag", "ments"})
		pushed = append(pushed, s.dialWebSocket(t))
		silent = append(silent, s.dialWebSocket(t))
	}
	for _, one := range pushed {
		if _, err := one.say("push"); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		s.Replaced()
	}
	c.over.Store(true)
	c.all.Wait()
	last := s.PID()
	pushes := 0
	for _, one := range append(pushed, silent...) {
		if pid := one.who(); pid != last {
			t.Errorf("the session is served by process %d; want %d", pid, last)
		}
	}
	for _, one := range pushed {
		select {
		case <-one.pushes:
		case <-time.After(patience):
			t.Error("nothing is pushed")
		}
		one.conn.CloseNow()
		<-one.ended
		pushes += one.pushed
	}
	t.Logf("%d messages echoed, %d pushed", c.answers.Load(), pushes)
}

// TestWebSocketSwitchedInMidMessage: a message of which a fragment has come is finished where it began, and the session follows then.
func TestWebSocketSwitchedInMidMessage(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := s.PID()
	c := s.dialWebSocket(t)
	w, err := c.conn.Writer(c.ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("wh")); err != nil {
		t.Fatal(err)
	}
	if err := c.conn.Ping(c.ctx); err != nil { // between two fragments, and flushes the first
		t.Fatal(err)
	}
	second := s.Next()
	if _, err := w.Write([]byte("o")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if answer, err := c.answer(); err != nil || answer != strconv.Itoa(first) {
		t.Fatalf("answer %q, %v; want one of process %d", answer, err, first)
	}
	s.AwaitExit(first)
	if pid := c.who(); pid != second {
		t.Errorf("the session is served by process %d; want %d", pid, second)
	}
}

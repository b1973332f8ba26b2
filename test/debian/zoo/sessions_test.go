//go:build debian

package zoo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// session is one connection whose every message is answered by its number and the message.
type session struct {
	kind  string
	local string // its own address; over a unix socket it has none
	ask   func(messages []string) error
	hear  func() (string, error)
	asked int
}

// unix reports whether it has no address that would tell its connection from others.
func (s *session) unix() bool { return s.local == "" }

// pace is the time from the answers of a session to its next messages.
const pace = 5 * time.Millisecond

// batch is how many messages go at once, every other time.
const batch = 10

// visit sends one message, or a batch, and wants its answers: the number neither jumps nor repeats, nor begins anew.
func (s *session) visit(i int) (answers int, err error) {
	n := 1
	if i%2 == 0 {
		n = batch
	}
	messages := make([]string, n)
	for k := range messages {
		messages[k] = fmt.Sprintf("%s message %d of %d", s.kind, s.asked+k+1, i)
	}
	if err := s.ask(messages); err != nil {
		return 0, fmt.Errorf("ask: %w", err)
	}
	for k, message := range messages {
		said, err := s.hear()
		if err != nil {
			return k, fmt.Errorf("answer %d: %w", s.asked+1, err)
		}
		s.asked++
		if want := fmt.Sprintf("%d %s", s.asked, message); said != want {
			return k, fmt.Errorf("answered %q, want %q", said, want)
		}
	}
	return n, nil
}

// sessions have n of each kind join the crowd, and return them with their clients.
func (z *cage) sessions(c *crowd, n int) map[*client]*session {
	z.t.Helper()
	all := map[*client]*session{}
	for range n {
		for _, s := range []*session{z.lines("tcp", z.tcp), z.lines("unix", z.unix), z.webSocket()} {
			all[c.join(s.kind, pace, true, s.visit)] = s
		}
	}
	return all
}

// lines is a session over a plain socket.
func (z *cage) lines(network, address string) *session {
	z.t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		z.t.Fatal(err)
	}
	z.t.Cleanup(func() { conn.Close() })
	if deadline, ok := z.ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	local := conn.LocalAddr().String()
	if network == "unix" {
		local = ""
	}
	in := bufio.NewReader(conn)
	return &session{
		kind: network + " socket", local: local,
		ask: func(messages []string) error {
			var all []byte
			for _, m := range messages {
				all = append(append(all, m...), '\n')
			}
			_, err := conn.Write(all)
			return err
		},
		hear: func() (string, error) {
			line, err := in.ReadString('\n')
			if err != nil {
				return "", err
			}
			return line[:len(line)-1], nil
		},
	}
}

// webSocket is a session of coder/websocket.
func (z *cage) webSocket() *session {
	z.t.Helper()
	s := &session{kind: "WebSocket"}
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			s.local = conn.LocalAddr().String()
		}
		return conn, err
	}}
	ws, _, err := websocket.Dial(z.ctx, "ws://"+z.http+"/ws", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		z.t.Fatal(err)
	}
	z.t.Cleanup(func() { ws.CloseNow() })
	s.ask = func(messages []string) error {
		for i, m := range messages {
			if i%2 == 0 {
				if err := ws.Write(z.ctx, websocket.MessageText, []byte(m)); err != nil {
					return err
				}
				continue
			}
			w, err := ws.Writer(z.ctx, websocket.MessageText)
			if err != nil {
				return err
			}
			if _, err := io.WriteString(w, m); err != nil {
				return err
			}
			if err := w.Close(); err != nil { // a frame of its own ends the message
				return err
			}
		}
		return nil
	}
	s.hear = func() (string, error) {
		_, message, err := ws.Read(z.ctx)
		return string(message), err
	}
	return s
}

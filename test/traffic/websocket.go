package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/handover-go/handover"
)

// WebSockets has /ws of mux speak WebSocket: each message is echoed as "COUNT MESSAGE", COUNT being of the session, whatever
// generations it goes through. Some are more: "who" is echoed as "COUNT PID", and after "push" come messages "push N", N without a
// gap.
func WebSockets(p *handover.Process, mux *http.ServeMux) error {
	const kind = "websocket"
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		c, rw, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		unread, _ := rw.Reader.Peek(rw.Reader.Buffered())
		if err := p.ServeSession(kind, c, unread); err != nil {
			slog.Debug("session ended", "error", err)
		}
	})
	return p.Sessions(kind, func(s *handover.Session) error {
		c := &webSocket{Session: s}
		defer c.stop()
		return c.serve()
	})
}

// pushInterval is the time between two messages that nobody asked for.
const pushInterval = 2 * time.Millisecond

// webSocket is the server's side of one connection, as far as this test needs it.
type webSocket struct {
	*handover.Session
	count uint64

	mu     sync.Mutex // of writing
	pushed uint64     // the number of the last message pushed; 0: none is
	end    chan struct{}
	ended  chan struct{}
}

func (c *webSocket) serve() error {
	if state := c.State(); len(state) == 16 {
		c.count, c.pushed = binary.BigEndian.Uint64(state), binary.BigEndian.Uint64(state[8:])
	}
	if c.pushed > 0 {
		c.push()
	}
	for {
		if err := c.Wait(0); errors.Is(err, handover.ErrLetGo) {
			c.stop() // what it would push is the next generation's to push
			state := binary.BigEndian.AppendUint64(nil, c.count)
			return c.LetGo(binary.BigEndian.AppendUint64(state, c.pushed), nil)
		} else if err != nil {
			return err
		}
		message, err := c.message()
		if err != nil {
			return err
		}
		if message == nil {
			continue
		}
		c.count++
		switch string(message) {
		case "who":
			message = fmt.Append(nil, os.Getpid())
		case "push":
			c.pushed = 1
			c.push()
		}
		if err := c.write(ws.OpText, fmt.Appendf(nil, "%d %s", c.count, message)); err != nil {
			return err
		}
	}
}

// message reads a whole message, however many frames it comes in, and answers control frames on the way; or, between two
// messages, a control frame alone, and no message.
func (c *webSocket) message() (message []byte, err error) {
	for {
		h, err := ws.ReadHeader(c)
		if err != nil {
			return nil, err
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(c, payload); err != nil {
			return nil, err
		}
		ws.Cipher(payload, h.Mask, 0)
		switch h.OpCode {
		case ws.OpPing:
			err = c.write(ws.OpPong, payload)
		case ws.OpClose:
			_ = c.write(ws.OpClose, payload)
			err = io.EOF
		case ws.OpPong:
		default:
			if message = append(message, payload...); message == nil {
				message = []byte{} // there is one, and it is empty
			}
			if h.Fin {
				return message, nil
			}
		}
		if err != nil || message == nil {
			return nil, err
		}
	}
}

func (c *webSocket) write(op ws.OpCode, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	frame, err := ws.CompileFrame(ws.NewFrame(op, true, payload))
	if err != nil {
		return err
	}
	_, err = c.Write(frame)
	return err
}

// push begins to send messages that nobody asked for.
func (c *webSocket) push() {
	c.end, c.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(c.ended)
		tick := time.NewTicker(pushInterval)
		defer tick.Stop()
		for {
			if c.write(ws.OpText, fmt.Appendf(nil, "push %d", c.pushed)) != nil {
				return
			}
			c.pushed++
			select {
			case <-tick.C:
			case <-c.end:
				return
			}
		}
	}()
}

// stop ends the pushing.
func (c *webSocket) stop() {
	if c.end != nil {
		close(c.end)
		<-c.ended
		c.end = nil
	}
}

// Command websocket echoes each message as "COUNT MESSAGE" at /ws, and goes on counting whatever build it is replaced by: the WebSocket
// moves to the next generation, with its count, between two messages. At / it says which generation answers.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/gobwas/ws"

	"github.com/handover-go/handover"
)

// build is set by: go build -ldflags "-X main.build=v2"
var build = "dev"

// kind names the protocol and the format of the state: a build that writes its state otherwise uses another name.
const kind = "websocket/1"

// maxMessage bounds what a client can make the service hold, in bytes.
const maxMessage = 1 << 20

func main() {
	if err := serve(context.Background(), cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080")); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context, address string) error {
	p, err := handover.New(ctx, handover.Config{})
	if err != nil {
		return err
	}
	ln, err := p.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if err := p.Sessions(kind, echo); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "build %s generation %d pid %d\n", build, p.Generation(), os.Getpid())
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return // it is answered
		}
		unread, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
		_ = p.ServeSession(kind, conn, unread) // how a client leaves is no news
	})
	if err := p.Attach(&http.Server{Handler: mux}, ln); err != nil {
		return err
	}
	return p.Run(ctx)
}

// echo begins where the generation before let go. It reads frames from the session itself, so that nothing is hidden in a buffer.
func echo(s *handover.Session) error {
	count, _ := strconv.Atoi(string(s.State()))
	for {
		if err := s.Wait(0); errors.Is(err, handover.ErrLetGo) {
			return s.LetGo([]byte(strconv.Itoa(count)), nil)
		} else if err != nil {
			return err
		}
		message, err := read(s)
		if err != nil {
			return err
		}
		if message == nil {
			continue
		}
		count++
		if err := write(s, ws.OpText, fmt.Appendf(nil, "%d %s", count, message)); err != nil {
			return err
		}
	}
}

// read returns a whole message, in however many frames it comes, or nil after a control frame between two messages.
func read(s *handover.Session) (message []byte, err error) {
	for {
		h, err := ws.ReadHeader(s)
		if err != nil {
			return nil, err
		}
		if h.Length > maxMessage-int64(len(message)) {
			return nil, errors.New("message too long")
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(s, payload); err != nil {
			return nil, err
		}
		ws.Cipher(payload, h.Mask, 0)
		switch h.OpCode {
		case ws.OpPing:
			err = write(s, ws.OpPong, payload)
		case ws.OpPong:
		case ws.OpClose:
			err = errors.Join(write(s, ws.OpClose, payload), io.EOF)
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

func write(s *handover.Session, op ws.OpCode, payload []byte) error {
	frame, err := ws.CompileFrame(ws.NewFrame(op, true, payload))
	if err != nil {
		return err
	}
	_, err = s.Write(frame)
	return err
}

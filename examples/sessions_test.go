package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/handover-go/handover/handovertest"
)

// patience bounds what is waited for.
const patience = 10 * time.Second

func TestSessionGoesOnInTheNextGeneration(t *testing.T) {
	address := handovertest.FreeAddress(t)
	serving := &log{}
	service := handovertest.Start(t, handovertest.Service{
		Path: handovertest.Build(t, "./session"), Address: address,
		Env:    []string{"ADDR=" + address, "HANDOVER_PROBATION=200ms", "GORACE=atexit_sleep_ms=0"},
		Output: serving,
		Who:    serving.who,
	})
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * patience))
	in := bufio.NewReader(conn)
	say := func(send, want string) {
		t.Helper()
		fmt.Fprint(conn, send)
		if got, err := in.ReadString('\n'); err != nil || got != want {
			t.Fatalf("answer %q, %v; want %q", got, err, want)
		}
	}
	say("one\n", "1 one\n")
	say("two\nthr", "2 two\n")
	service.Upgrade(2)
	say("ee\n", "3 three\n")
}

// log is what a service writes that does not say in its answers who it is.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

var serves = regexp.MustCompile(`INFO serving.* pid=(\d+)`)

// who is the last that said it serves.
func (l *log) who(context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := serves.FindAllSubmatch(l.text.Bytes(), -1)
	if len(found) == 0 {
		return 0, errors.New("nobody has said that it serves")
	}
	return strconv.Atoi(string(found[len(found)-1][1]))
}

func TestWebSocketGoesOnInTheNextGeneration(t *testing.T) {
	service := start(t, "./websocket")
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+service.Load().Address+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	say := func(send, want string) {
		t.Helper()
		if err := conn.Write(ctx, websocket.MessageText, []byte(send)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(ctx); err != nil || string(got) != want {
			t.Fatalf("answer %q, %v; want %q", got, err, want)
		}
	}
	say("one", "1 one")
	before := service.PID()
	service.Upgrade(1)
	service.AwaitExit(before)
	say("two", "2 two")
	say("", "3 ")
	if err := conn.Close(websocket.StatusNormalClosure, "good-bye"); err != nil {
		t.Error(err)
	}
}

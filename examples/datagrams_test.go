package examples_test

import (
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func TestPeersAreKnownInTheNextGeneration(t *testing.T) {
	address := handovertest.FreeAddress(t)
	serving := &log{}
	service := handovertest.Start(t, handovertest.Service{
		Path: handovertest.Build(t, "./datagram"), Address: address,
		Env:    []string{"ADDR=" + address, "HANDOVER_PROBATION=200ms", "GORACE=atexit_sleep_ms=0"},
		Output: serving,
		Who:    serving.who,
	})
	conn, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * patience))
	say := func(send, want string) {
		t.Helper()
		fmt.Fprint(conn, send)
		var b [100]byte
		if n, err := conn.Read(b[:]); err != nil || string(b[:n]) != want {
			t.Fatalf("answer %q, %v; want %q", b[:n], err, want)
		}
	}
	say("one", "1 one")
	say("two", "2 two")
	service.Upgrade(2)
	say("three", "3 three")
}

package observe_test

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/host/observe"
)

// serveLines answers each line by handle, and ends with the test.
func serveLines(t *testing.T, handle func(line string) string) observe.Where {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer func() { _ = c.Close() }()
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := c.Write([]byte(handle(lines.Text()))); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
	})
	return observe.Where{Address: ln.Addr().String()}
}

func TestTCPConnectsSendsAndExpects(t *testing.T) {
	at := serveLines(t, func(line string) string {
		if line == "PING" {
			return "+PO" + "NG\r\n"
		}
		return strings.Repeat("noise ", 2000)
	})
	well(t, observe.TCP{Name: "x", Where: at}, true, "connected to 127.0.0.1")
	well(t, observe.TCP{Name: "x", Where: at, Send: "PING\n", Expect: "+PONG"}, true, `said "+PONG"`)
	well(t, observe.TCP{Name: "x", Where: at, Send: "NOISE\n", Expect: "+PONG"}, false, "heard 4096 bytes of something else")
	well(t, observe.TCP{Name: "x", Where: at, Send: "PING\n", Expect: "+PONG+", Timeout: time.Second}, false, `no answer within 1s: want "+PONG+"`)
	at.Address = "127.0.0.1:1"
	well(t, observe.TCP{Name: "x", Where: at}, false, "refused")
}

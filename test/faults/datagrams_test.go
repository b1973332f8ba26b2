//go:build linux

package faults

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// datagrams is a client of datagrams, see traffic.Packets: it says one after the other, and each has to be answered once.
type datagrams struct {
	t    *testing.T
	conn net.Conn
	stop chan struct{}
	sent sync.WaitGroup
	done sync.WaitGroup

	mu         sync.Mutex
	unanswered map[string]bool
}

// pause is the time between two datagrams.
const pause = 25 * time.Millisecond

// sendDatagrams begins to, until end.
func sendDatagrams(t *testing.T, address string) *datagrams {
	t.Helper()
	conn, err := net.Dial("udp", address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	d := &datagrams{t: t, conn: conn, stop: make(chan struct{}), unanswered: map[string]bool{}}
	d.sent.Go(d.send)
	d.done.Go(d.receive)
	t.Cleanup(func() { // of a test that does not come to end
		conn.Close()
		d.sent.Wait()
		d.done.Wait()
	})
	return d
}

func (d *datagrams) send() {
	again := time.NewTicker(pause)
	defer again.Stop()
	for n := 0; ; n++ {
		says := fmt.Sprint("datagram-", n)
		d.mu.Lock()
		d.unanswered[says] = true
		d.mu.Unlock()
		if _, err := d.conn.Write([]byte(says)); err != nil {
			d.t.Errorf("datagram: %v", err)
			return
		}
		select {
		case <-again.C:
		case <-d.stop:
			return
		case <-d.t.Context().Done():
			return
		}
	}
}

func (d *datagrams) receive() {
	var b [1000]byte
	for {
		n, err := d.conn.Read(b[:])
		if err != nil {
			return // end has closed it, or the answer to a datagram has told that nobody listens, as its count will
		}
		words := strings.Fields(string(b[:n]))
		d.mu.Lock()
		if len(words) != 3 || !d.unanswered[words[2]] {
			d.t.Errorf("datagram %q: not asked for, or twice", b[:n])
		} else {
			delete(d.unanswered, words[2])
		}
		d.mu.Unlock()
	}
}

// end waits a little for the last answers, and longer where more than so many are missing, and tells how many have not come.
func (d *datagrams) end(most int) int {
	close(d.stop)
	d.sent.Wait()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for began, left := time.Now(), d.left(); left > 0; left = d.left() {
		if waited := time.Since(began); waited > patience || waited > 2*time.Second && left <= most {
			break
		}
		<-look.C
	}
	d.conn.Close()
	d.done.Wait()
	return d.left()
}

func (d *datagrams) left() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.unanswered)
}

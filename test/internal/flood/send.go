package flood

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	every   = time.Millisecond // datagrams are sent that often, those that are due
	catchUp = 4                // times the rate, at most: a sender that stood still does not make up for it at once
)

// Send sends rate datagrams a second to a UDP address, until the end of input.
func Send(address string, rate int, input io.Reader) (Sent, error) {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return Sent{}, err
	}
	defer conn.Close()
	over := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, input)
		over <- err
	}()
	var datagram [Size]byte
	var sent Sent
	var late time.Duration
	tick := time.NewTicker(every)
	defer tick.Stop()
	for began := time.Now(); ; {
		select {
		case err := <-over:
			sent.Rate, sent.Late = float64(sent.Datagrams)/time.Since(began).Seconds(), late.Seconds()
			return sent, err
		case <-tick.C:
		}
		for range max(1, catchUp*rate/int(time.Second/every)) {
			lag := time.Since(began) - time.Duration(sent.Datagrams)*time.Second/time.Duration(rate)
			if lag < 0 {
				break
			}
			late = max(late, lag)
			binary.BigEndian.PutUint64(datagram[:], uint64(sent.Datagrams))
			if _, err := conn.Write(datagram[:]); err != nil {
				return Sent{}, fmt.Errorf("send datagram %d: %w", sent.Datagrams, err)
			}
			sent.Datagrams++
		}
	}
}

package main

import (
	"net"
	"strconv"

	"github.com/handover-go/handover"
)

// answerDatagrams reads as long as this generation does: another reads what comes afterwards.
func answerDatagrams(p *handover.Process, packets net.PacketConn) {
	datagram := make([]byte, 64<<10)
	for {
		n, from, err := packets.ReadFrom(datagram)
		if err != nil {
			return
		}
		answer := append(strconv.AppendInt(nil, int64(p.Generation()), 10), ' ')
		_, _ = packets.WriteTo(append(answer, datagram[:n]...), from) // datagrams may be lost
	}
}

package client

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Socket is one end of a connection over IPv4, as proc_net(5) has it.
type Socket struct {
	State              int // see include/net/tcp_states.h; 0: it is gone
	Sending, Receiving int // bytes that the other end has not acknowledged; that the program has not read
}

// Sockets are the client's end of the connection and the server's.
func (c *Conn) Sockets() (own, its Socket) {
	c.T.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		c.T.Fatal(err)
	}
	client, server := c.LocalAddr().(*net.TCPAddr).Port, c.RemoteAddr().(*net.TCPAddr).Port
	for line := range strings.Lines(string(table)) {
		var slot, here, there, state, queues string
		if _, err := fmt.Sscan(line, &slot, &here, &there, &state, &queues); err != nil {
			continue
		}
		sending, receiving, _ := strings.Cut(queues, ":")
		s := Socket{hex(state), hex(sending), hex(receiving)}
		switch from, to := portOf(here), portOf(there); {
		case from == client && to == server:
			own = s
		case from == server && to == client:
			its = s
		}
	}
	return own, its
}

func portOf(endpoint string) int {
	_, port, _ := strings.Cut(endpoint, ":")
	return hex(port)
}

func hex(text string) int {
	n, _ := strconv.ParseUint(text, 16, 64)
	return int(n)
}

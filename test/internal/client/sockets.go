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
	client, server := port(c.LocalAddr()), port(c.RemoteAddr())
	for line := range strings.Lines(string(table)) {
		if !strings.Contains(line, client) || !strings.Contains(line, server) {
			continue // there may be ten thousand of others
		}
		words := strings.Fields(line)
		if len(words) < 5 {
			continue
		}
		sending, receiving, _ := strings.Cut(words[4], ":")
		s := Socket{hex(words[3]), hex(sending), hex(receiving)}
		switch from, to := words[1], words[2]; {
		case strings.HasSuffix(from, client) && strings.HasSuffix(to, server):
			own = s
		case strings.HasSuffix(from, server) && strings.HasSuffix(to, client):
			its = s
		}
	}
	return own, its
}

// port is how the table ends an address.
func port(a net.Addr) string { return fmt.Sprintf(":%04X", a.(*net.TCPAddr).Port) }

func hex(text string) int {
	n, _ := strconv.ParseUint(text, 16, 64)
	return int(n)
}

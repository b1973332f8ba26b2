package subject

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// firstPort and lastPort lie below the ports that Linux gives to clients by default (net.ipv4.ip_local_port_range), one of which
// could have the address while the service is restarted.
const firstPort, lastPort = 20_000, 32_767

func freeAddress() (string, error) {
	var err error
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstPort+rand.IntN(lastPort-firstPort)))
		var ln net.Listener
		if ln, err = net.Listen("tcp", address); err == nil {
			return address, ln.Close()
		}
	}
	return "", fmt.Errorf("find a free address: %w", err)
}

package client

import "net"

// Scissors let what is written to a connection through, or hold it back, to be sent in pieces.
type Scissors struct {
	net.Conn
	holds bool
	held  []byte
}

// Held returns what is written meanwhile, of which nothing is sent.
func (s *Scissors) Held(meanwhile func()) []byte {
	s.holds, s.held = true, nil
	meanwhile()
	s.holds = false
	return s.held
}

// Write implements io.Writer.
func (s *Scissors) Write(p []byte) (int, error) {
	if s.holds {
		s.held = append(s.held, p...)
		return len(p), nil
	}
	return s.Conn.Write(p)
}

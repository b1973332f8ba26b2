// Package flood sends numbered datagrams at a pace that does not depend on who reads them, and keeps the book of what each generation of
// a service has read.
package flood

// Size of a datagram in bytes; the first eight are its number, from 0.
const Size = 32

// Sent is what a sender has done.
type Sent struct {
	Datagrams int
	Rate      float64 // a second, over all
	Late      float64 // the longest that one was sent after its time, in seconds
}

// Read is what one generation has read.
type Read struct {
	PID, Generation int
	Buffer          int      // SO_RCVBUF, which is twice what was asked for (socket(7))
	Runs            [][2]int // of numbers without a gap, first and last, in the order in which they were read
	Dropped         int      // by the kernel in the socket's life, as the last datagram knew (SO_RXQ_OVFL)
}

// add books a datagram.
func (r *Read) add(number int) {
	if last := len(r.Runs) - 1; last >= 0 && r.Runs[last][1] == number-1 {
		r.Runs[last][1] = number
		return
	}
	r.Runs = append(r.Runs, [2]int{number, number})
}

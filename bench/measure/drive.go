package measure

import (
	"fmt"
	"sync"
	"time"
)

// Drivers is how many connections a drive has, each asking again as soon as it is answered.
const Drivers = 4

// Drive asks for a while, as fast as it is answered, and returns how many answers came, and in which time.
func Drive(address string, span time.Duration) (answers int, took time.Duration, err error) {
	conns := make([]*Conn, Drivers)
	for i := range conns {
		if conns[i], err = Dial(address, span+probePatience); err != nil {
			return 0, 0, fmt.Errorf("drive: %w", err)
		}
		defer conns[i].Close()
		if err := conns[i].Ask(); err != nil {
			return 0, 0, fmt.Errorf("drive: %w", err)
		}
	}
	counts, errs := make([]int, Drivers), make([]error, Drivers)
	var wait sync.WaitGroup
	began := time.Now()
	for i, c := range conns {
		wait.Go(func() {
			for time.Since(began) < span && errs[i] == nil {
				errs[i] = c.Ask()
				counts[i]++
			}
		})
	}
	wait.Wait()
	took = time.Since(began)
	for i := range counts {
		if errs[i] != nil {
			return 0, 0, fmt.Errorf("drive: %w", errs[i])
		}
		answers += counts[i]
	}
	return answers, took, nil
}

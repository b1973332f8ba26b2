package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// newConnections has clients connect for each request, as fast as they can, while the service is upgraded again and again;
// and beside it a plain one that is not.
func newConnections(ctx context.Context, s settings) error {
	const clients, span = 8, 5 * time.Second
	fmt.Printf("\n## New connections: %d clients connect, ask once and leave, as fast as they can\n\n", clients)
	fmt.Println("| service | connections a second | failed | upgrades meanwhile |\n|---|---|---|---|")
	names := []string{"net/http", "handover, no upgrades", "handover, upgraded again and again"}
	rates, failed, upgrades := make([]series, len(names)), make([]int64, len(names)), make([]int, len(names))
	for round := range s.rounds {
		for i := range names {
			var env []string
			if i == 0 {
				env = append(env, plainVariable+"=1")
			}
			f, err := start(ctx, env...)
			if err != nil {
				return err
			}
			c := connect(f.address, clients)
			over := time.NewTimer(span)
			for done := i != 2; !done; upgrades[i]++ {
				if _, err := f.upgrade(ctx); err != nil {
					return err
				}
				select {
				case <-over.C:
					done = true
				default:
				}
			}
			if i != 2 {
				<-over.C
			}
			rate, bad := c.stop()
			rates[i].add(float64(round), rate)
			failed[i] += bad
			if err := f.end(ctx); err != nil {
				return err
			}
		}
	}
	for i, name := range names {
		fmt.Printf("| %s | %.0f (ratio %.2f) | %d | %d |\n", name, rates[i].quantile(0.5), rates[i].quantile(0.5)/rates[0].quantile(0.5), failed[i], upgrades[i])
	}
	if failed[1]+failed[2] > 0 {
		return fmt.Errorf("%d connections failed", failed[1]+failed[2])
	}
	return nil
}

// connectors connect again and again.
type connectors struct {
	began        time.Time
	done         atomic.Bool
	made, failed atomic.Int64
	wait         sync.WaitGroup
}

func connect(address string, clients int) *connectors {
	c := &connectors{began: time.Now()}
	for range clients {
		c.wait.Go(func() {
			in := bufio.NewReader(nil)
			for !c.done.Load() {
				if err := askAnew(address, in); err != nil {
					c.failed.Add(1)
				}
				c.made.Add(1)
			}
		})
	}
	return c
}

func (c *connectors) stop() (perSecond float64, failed int64) {
	c.done.Store(true)
	c.wait.Wait()
	return float64(c.made.Load()) / time.Since(c.began).Seconds(), c.failed.Load()
}

func askAnew(address string, in *bufio.Reader) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	// An answered client that leaves by a reset holds no port for a minute.
	_ = c.(*net.TCPConn).SetLinger(0)
	in.Reset(c)
	return errors.Join(askOn(c, in), c.Close())
}

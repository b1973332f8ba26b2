package strict

import (
	"fmt"
	"math/rand/v2"
	"sync"
)

// Clients says how many clients of each kind a driver has.
type Clients struct {
	KeepAlive int // ask again after 0 to 30 ms, on one connection
	Single    int // make a connection for each request
	Idle      int // ask again after 0.5 to 3 s, on one connection
	Upload    int // POST a body that takes 300 ms, every other one in chunks
	Pipeline  int // send three requests at once
	Dribble   int // send the head byte by byte
	Expect    int // wait for "100 Continue" before the body
	Silent    int // connect, and ask after 1 to 3 s only
}

// Everyone is the mix of 28 clients under which handovers are tested.
var Everyone = Clients{KeepAlive: 8, Single: 4, Idle: 4, Upload: 4, Pipeline: 2, Dribble: 2, Expect: 2, Silent: 2}

// Driver is a running load.
type Driver struct {
	address string
	ledger  *ledger
	over    chan struct{}
	clients sync.WaitGroup
}

// Drive loads the service at a TCP address, which answers as [Echo] does, until Stop is called.
func Drive(address string, mix Clients) *Driver {
	d := &Driver{address: address, ledger: newLedger(), over: make(chan struct{})}
	d.add("keep-alive", mix.KeepAlive, (*client).keepAlive)
	d.add("single", mix.Single, (*client).single)
	d.add("idle", mix.Idle, (*client).idle)
	d.add("upload", mix.Upload, (*client).upload)
	d.add("pipeline", mix.Pipeline, (*client).pipeline)
	d.add("dribble", mix.Dribble, (*client).dribble)
	d.add("expect", mix.Expect, (*client).expect)
	d.add("silent", mix.Silent, (*client).silent)
	return d
}

func (d *Driver) add(kind string, n int, turn func(*client)) {
	for i := range n {
		c := &client{driver: d, kind: kind, name: fmt.Sprintf("%s-%d", kind, i), random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))}
		d.clients.Go(func() { c.run(turn) })
	}
}

// Stop ends the load. Requests under way are finished, and every connection is looked at once more.
func (d *Driver) Stop() Report {
	close(d.over)
	d.clients.Wait()
	return d.ledger.close()
}

// Ask sends a single request on a connection of its own, and returns the process that answered.
func Ask(address string) (pid int, err error) {
	c, err := dial(address)
	if err != nil {
		return 0, fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = c.tcp.Close() }()
	r := request{id: "ask", method: "GET"}
	if err := c.write(r.head()); err != nil {
		return 0, fmt.Errorf("ask: %w", err)
	}
	a, err := c.read()
	if err != nil {
		return 0, fmt.Errorf("ask: %w", err)
	}
	return r.verify(a)
}

package keeper

import (
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
)

var status = &wire.Status{}

// ask asks at the takeover socket, and gets a reply.
func (r *run) ask(m wire.Message) *wire.Reply {
	r.t.Helper()
	reply, err := control.Ask(r.takeover, m, patience, nil)
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.Output(80))
	}
	return reply
}

// asking asks, and returns at once; the reply comes out of the channel, nil if there is none.
func (r *run) asking(m wire.Message) <-chan *wire.Reply {
	replies := make(chan *wire.Reply, 1)
	go func() {
		reply, _ := control.Ask(r.takeover, m, patience, nil) // its end is what the test looks at
		replies <- reply
	}()
	return replies
}

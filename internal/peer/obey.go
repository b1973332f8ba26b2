package peer

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// controlIdle is how long a control client may say nothing, while nothing that it has asked for is under way.
const controlIdle = time.Minute

// Obey answers a control client, one question after the other, until it leaves, asks what is no question, or ctx ends; who ends ctx
// also interrupts what is being received. ask puts a question, and returns how to wait for the answer, or nil for what is no question.
// Meanwhile vote hears each VOTE, after the question: where it returns an ABORT, that ends the conversation. left is called when no vote will come any more; an answer
// may be under way still, and Obey waits for it.
func Obey(ctx context.Context, link *wire.Link, ask func(wire.Message) (await func() *wire.Reply), vote func(*wire.Vote) *wire.Abort, left func()) {
	var wait sync.WaitGroup
	defer wait.Wait()
	defer left()
	deadline := func(t time.Time) {
		_ = link.SetReceiveDeadline(t)
		if ctx.Err() != nil { // who ends the conversation has set one that must not be lost
			_ = link.SetReceiveDeadline(past)
		}
	}
	var busy atomic.Bool
	deadline(time.Now().Add(controlIdle))
	for {
		f, err := link.Receive()
		if err != nil {
			return
		}
		CloseDescriptors(&f)
		if m, ok := f.Message.(*wire.Vote); ok {
			if denial := vote(m); denial != nil {
				_ = link.Send(0, denial)
				return
			}
			continue
		}
		if busy.Swap(true) {
			return // it has not waited for its answer
		}
		deadline(time.Time{})
		await := ask(f.Message)
		if await == nil {
			return
		}
		wait.Go(func() {
			reply := await()
			deadline(time.Now().Add(controlIdle))
			busy.Store(false) // before the client can have the answer, and ask again
			if link.Send(0, reply) != nil {
				_ = link.Finish()
			}
		})
	}
}

// past ends a wait that is under way.
var past = time.Unix(1, 0)

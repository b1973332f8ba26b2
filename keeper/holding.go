package keeper

import (
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// holding is a socket of the service that the keeper has a copy of. As long as anyone holds a listener, clients wait in its
// queue and are not refused.
type holding struct {
	spec wire.Listener
	fd   int
}

func letGo(all []holding) {
	for _, h := range all {
		_ = platform.CloseFD(h.fd)
	}
}

// batch is the next of all to send: from first on, as many as one frame takes.
func batch(all []holding, first int) (fds []int) {
	for _, h := range all[first:min(len(all), first+wire.MaxBatch)] {
		fds = append(fds, h.fd)
	}
	return fds
}

func specs(all []holding) []wire.Listener {
	listeners := []wire.Listener{}
	for _, h := range all {
		listeners = append(listeners, h.spec)
	}
	return listeners
}

// registration is what a generation asks the keeper to hold, as far as it has come.
type registration struct {
	listeners []wire.Listener
	held      []holding
}

// take takes the descriptors of one batch, and tells the answer.
func (r *registration) take(f *wire.Frame, m *wire.Listeners) *wire.Ack {
	if f.Lost || m.First != len(r.held) || len(f.Descriptors) > len(r.listeners)-len(r.held) || len(f.Descriptors) == 0 {
		return &wire.Ack{Next: len(r.held), Lost: true}
	}
	for _, fd := range f.Descriptors {
		r.held = append(r.held, holding{r.listeners[len(r.held)], fd})
	}
	f.Descriptors = nil
	return &wire.Ack{Next: len(r.held)}
}

func (r *registration) complete() bool { return len(r.held) == len(r.listeners) }

package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/handover-go/handover/bench/measure"
	"github.com/handover-go/handover/bench/subject"
)

// slice is how long one of the two is driven before it is the other's turn: short, so that what else the machine does hits both.
const slice = 250 * time.Millisecond

// Driven drives a subject and plain net/http in turn, as fast as they answer, n times each.
func Driven(ctx context.Context, b *subject.Builds, r *Result, n int) (err error) {
	plain, err := subject.Plainly().Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, plain.Stop()) }()
	running, err := r.Subject.Start(ctx, b)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	var base, total driven
	for i := range n + 1 {
		beside, err := drive(ctx, plain)
		if err != nil {
			return err
		}
		d, err := drive(ctx, running)
		if err != nil {
			return err
		}
		if i == 0 { // both warm up
			continue
		}
		r.PerSecond = append(r.PerSecond, d.perSecond())
		r.Ratio = append(r.Ratio, d.perSecond()/beside.perSecond())
		base.add(beside)
		total.add(d)
	}
	r.CPU = append(r.CPU, total.cpu())
	r.CPURatio = append(r.CPURatio, total.cpu()/base.cpu())
	if !r.Subject.Proxy {
		r.Allocations = append(r.Allocations, float64(total.allocated)/float64(total.answers))
	}
	return nil
}

// driven is what one slice was, or several.
type driven struct {
	answers    int
	took, used time.Duration // used: processor time of all that serves
	allocated  uint64        // heap objects
}

func (d *driven) add(more driven) {
	d.answers, d.took, d.used, d.allocated = d.answers+more.answers, d.took+more.took, d.used+more.used, d.allocated+more.allocated
}

func (d *driven) perSecond() float64 { return float64(d.answers) / d.took.Seconds() }

// cpu is the processor time of a request, in microseconds.
func (d *driven) cpu() float64 { return float64(d.used.Nanoseconds()) / 1000 / float64(d.answers) }

func drive(ctx context.Context, running *subject.Running) (d driven, err error) {
	pids, err := running.All(true)
	if err != nil {
		return d, err
	}
	allocated, err := mallocs(ctx, running)
	if err != nil {
		return d, err
	}
	used := measure.CPU(pids)
	if d.answers, d.took, err = measure.Drive(running.Address, slice); err != nil {
		return d, err
	}
	d.used = measure.CPU(pids) - used
	after, err := mallocs(ctx, running)
	d.allocated = after - allocated
	return d, err
}

// mallocs asks the service how many heap objects it has allocated; a proxy has no such answer.
func mallocs(ctx context.Context, running *subject.Running) (uint64, error) {
	if running.Subject.Proxy {
		return 0, nil
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+running.Address+"/mallocs", nil)
	if err != nil {
		return 0, err
	}
	request.Close = true
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil {
		err = fmt.Errorf("ask for allocations: %w", err)
	}
	return n, err
}

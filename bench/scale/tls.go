package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/handover-go/handover/bench/measure"
)

// What the clients do that work while HTTPS connections become the next generation's.
const (
	secureClients = 32
	secureRate    = 20 // requests a second, each
)

// way is how the HTTPS connections of one generation become the next one's, and what that has cost.
type way struct {
	name, secure, share string
	resumed             bool

	took, service, crowd                              series // until all have been answered by the next generation, seconds; processor time for it
	steady50, moving50, steady99, moving99            series // latencies of those who work, ms
	handshakes, handshake, before, after, uncollected series // a second; processor time, µs; memory of one, KiB; the same before garbage is collected
}

func allWays() []*way {
	return []*way{
		{name: "live on, with rests", secure: livingOn, share: "0.25"},
		{name: "live on, at full speed", secure: livingOn, share: "1"},
		{name: "new ones, full handshakes", secure: drained, share: "0.25"},
		{name: "new ones, sessions resumed", secure: drained, share: "0.25", resumed: true},
	}
}

// tlsConnections has HTTPS connections live on, and beside it be replaced, in turn.
func tlsConnections(ctx context.Context, s settings) error {
	dir, file, err := pair()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var first []*way
	for _, span := range []time.Duration{0, 5 * time.Second} {
		ways := allWays()
		for round := range s.rounds {
			for i := range ways {
				w := ways[(i+round)%len(ways)]
				if err := w.measure(ctx, file, s.secure, span); err != nil {
					return fmt.Errorf("%s: %w", w.name, err)
				}
			}
		}
		rhythm := "as fast as they are answered"
		if span > 0 {
			rhythm = fmt.Sprintf("each once within %s", span)
		}
		fmt.Printf("\n## %d HTTPS connections in one upgrade, whose clients ask from FINAL on, %s\n\n", s.secure, rhythm)
		fmt.Println("| connections | until all are with the next generation, s | processor time of both generations, s | of the clients, s | p50 steady → then, ms | p99 steady → then, ms | ratio of p99 |\n|---|---|---|---|---|---|---|")
		for _, w := range ways {
			fmt.Printf("| %s | %s | %s | %s | %.2f → %.2f | %s → %s | %.1f |\n", w.name, w.took.spread("%.2f"), w.service.spread("%.2f"), w.crowd.spread("%.2f"),
				w.steady50.quantile(0.5), w.moving50.quantile(0.5), w.steady99.spread("%.2f"), w.moving99.spread("%.2f"), w.moving99.quantile(0.5)/w.steady99.quantile(0.5))
		}
		if first == nil {
			first = ways
		}
	}
	fmt.Printf("\nBeside them, %d clients ask %d times a second each. Medians of %d upgrades each, in turn, and their quartiles; p99 is that of one upgrade. Connections that live on are there "+
		"when the generation before has none left; new ones, when all were asked again, and answered. Processor time is from the signal on, and without that of requests beside. Each client had an answer afterwards, "+
		"on the connection that it had before if that was to live on. Keys are X25519MLKEM768, the certificate is of ECDSA P-256: a session that is resumed saves its signature alone, and brings a new ticket.\n", secureClients, secureRate, s.rounds)
	fmt.Printf("\n## What an HTTPS connection costs\n\n")
	fmt.Println("| | handshakes a second | processor time of one in the service, µs | memory when idle, KiB | in the next generation, KiB | there, before garbage is collected, KiB |\n|---|---|---|---|---|---|")
	for _, w := range []*way{first[0], first[2]} {
		fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", w.secure, w.handshakes.spread("%.0f"), w.handshake.spread("%.0f"), w.before.spread("%.2f"), w.after.spread("%.2f"), w.uncollected.spread("%.2f"))
	}
	fmt.Printf("\nAnonymous memory of the service with %d connections that say nothing, its garbage collected, less that of one with none, for each. Handshakes are full, %d at a time.\n", s.secure, abreast)
	return nil
}

// measure replaces one service with n connections, whose clients ask again within span.
func (w *way) measure(ctx context.Context, file string, n int, span time.Duration) (err error) {
	trust, err := trusting(file, w.resumed)
	if err != nil {
		return err
	}
	env := []string{pairVariable + "=" + file, secureVariable + "=" + w.secure, "HANDOVER_MIGRATION_SHARE=" + w.share}
	f, err := start(ctx, env...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.end(ctx)) }()
	empty, err := f.alive(ctx, trust())
	if err != nil {
		return err
	}
	env = append(env, addressVariable+"="+f.address, fmt.Sprintf("%s=%d", countVariable, n))
	if w.resumed {
		env = append(env, resumedVariable+"=1")
	}
	began, spent := time.Now(), f.spent()
	g, err := gather(env...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.leave()) }()
	w.handshakes.add(0, float64(n)/time.Since(began).Seconds())
	w.handshake.add(0, float64((f.spent()-spent).Microseconds())/float64(n))
	full, err := f.alive(ctx, trust())
	if err != nil {
		return err
	}
	w.before.add(0, (full-empty)/1024/float64(n))

	active, err := clients(secureClients, func() *client { return &client{address: f.address, secure: trust(), stays: w.secure == livingOn} })
	if err != nil {
		return err
	}
	p := startPulse(ctx, active, secureRate)
	if err := errors.Join(w.replace(ctx, f, g, p, n, span), p.stop()); err != nil {
		return err
	}
	uncollected, err := memory(f.pid)
	if err != nil {
		return err
	}
	if full, err = f.alive(ctx, trust()); err != nil {
		return err
	}
	w.uncollected.add(0, (float64(uncollected)-empty)/1024/float64(n))
	w.after.add(0, (full-empty)/1024/float64(n))
	return nil
}

// replace upgrades the service while p works, and has g's clients ask.
func (w *way) replace(ctx context.Context, f *family, g *gathered, p *pulse, n int, span time.Duration) error {
	crowded := []int{g.command.Process.Pid}
	from, spent := time.Now(), f.spent()
	if err := measure.Pause(ctx, steadySpan); err != nil {
		return err
	}
	asked := time.Now()
	rate := (f.spent() - spent).Seconds() / asked.Sub(from).Seconds() // of p's requests
	spent, theirs := f.spent(), measure.CPU(crowded)
	u, err := f.upgrade(ctx)
	if err != nil {
		return err
	}
	if _, err := g.ask(span); err != nil {
		return err
	}
	over := time.Now()
	gone, err := f.await(ctx, `msg="draining generation has finished"`)
	if err != nil {
		return err
	}
	if w.secure == livingOn || gone.at.After(over) {
		over = gone.at
	}
	// What the first generation has spent is known to its parent, once it has ended: as it likes, after it has handed over.
	_ = f.first.Wait()
	ended := f.first.ProcessState
	both := ended.UserTime() + ended.SystemTime() + f.spent() - spent
	w.took.add(0, over.Sub(u.final).Seconds())
	w.service.add(0, both.Seconds()-rate*time.Since(asked).Seconds())
	w.crowd.add(0, (measure.CPU(crowded) - theirs).Seconds())
	steady, moving := p.within(from, asked), p.within(u.final, over)
	w.steady50.add(0, millis(quantile(steady, 0.5)))
	w.steady99.add(0, millis(quantile(steady, 0.99)))
	w.moving50.add(0, millis(quantile(moving, 0.5)))
	w.moving99.add(0, millis(quantile(moving, 0.99)))
	want := n
	if w.secure == drained {
		want = 2 * n
	}
	made, err := g.ask(0)
	if err != nil {
		return err
	}
	if made != want {
		return fmt.Errorf("%d clients have made %d connections, not %d", n, made, want)
	}
	return nil
}

// spent is the processor time of the generation that serves.
func (f *family) spent() time.Duration { return measure.CPU([]int{f.pid}) }

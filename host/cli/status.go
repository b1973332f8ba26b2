package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

func (a *app) status() *cli.Command {
	return &cli.Command{
		Name: "status", ArgsUsage: "[NAME]", Usage: "say how a service is",
		Description: "Where an agent answers that keeps the service, it is asked, and shows all of its services when none is named. Exit code 0 means that the service " +
			"is active, 3 that it is inactive: nobody answers for it, or it does not serve yet or any more. 4 means that it cannot be found out.\n\n" +
			"With --watch it is asked again and again, until interrupted. A terminal is redrawn; elsewhere a line, or with -o json an " +
			"object on a line, tells each change.",
		Flags:         append([]cli.Flag{outputFlag("table")}, watchFlags()...),
		ShellComplete: a.complete,
		Action: func(ctx context.Context, c *cli.Command) error {
			look, err := a.lookFor(ctx, c)
			if err != nil {
				return err
			}
			return a.show(ctx, c, look)
		},
	}
}

// watchFlags are those of a command that can look again and again.
func watchFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "ask again and again, until interrupted"},
		&cli.DurationFlag{Name: "interval", Value: time.Second, Usage: "how long to wait between two questions", Validator: atLeastTick},
	}
}

func atLeastTick(d time.Duration) error {
	if d < 10*time.Millisecond {
		return fmt.Errorf("%s: give 10ms or more", d)
	}
	return nil
}

// sight is what was seen of a service, or of all.
type sight interface {
	up() bool
	same(before sight) bool // nothing has changed but the time
	line(io.Writer, time.Time) error
	table(io.Writer) error
}

// lookFor finds out who is to be asked for what: the agent for all its services or for one, or the service itself.
func (a *app) lookFor(ctx context.Context, c *cli.Command) (func(context.Context) (sight, error), error) {
	name, err := named(c)
	if err != nil {
		return nil, err
	}
	if name == "" {
		client, byName, err := findAgent(c)
		if err != nil {
			return nil, err
		}
		if client != nil {
			look := func(ctx context.Context) (sight, error) { return lookAround(ctx, client) }
			if all, err := look(ctx); byName || err == nil && len(all.(roster)) > 0 {
				return look, nil
			}
			client.Close()
		}
	} else if client, name, err := a.keptBy(ctx, c); err != nil {
		_, next := judge(err)
		return nil, failure{err, next, exitUnknown}
	} else if client != nil {
		return func(ctx context.Context) (sight, error) { return lookAt(ctx, client, name) }, nil
	}
	return func(ctx context.Context) (sight, error) { return ask(ctx, c.String("runtime-dir"), name) }, nil
}

// show shows what is seen, once or until it is interrupted.
func (a *app) show(ctx context.Context, c *cli.Command, look func(context.Context) (sight, error)) error {
	if c.Bool("watch") {
		return a.watch(ctx, c, look)
	}
	s, err := look(ctx)
	if err != nil {
		return err
	}
	if asJSON(c) {
		err = writeJSON(a.stdout, s)
	} else {
		err = s.table(a.stdout)
	}
	if err == nil && !s.up() {
		err = quietly{exitInactive}
	}
	return err
}

// condition is how a service is. Its keys are those of a status on the wire, where there is one.
type condition struct {
	Service string `json:"service,omitempty"`
	Active  bool   `json:"active"`
	Reason  string `json:"reason,omitempty"` // why it is inactive, if it said nothing itself
	*service.Status
}

// ask finds out how a service is. That nobody answers is an answer; an error means that it cannot be found out.
func ask(ctx context.Context, runtimeDir, name string) (condition, error) {
	c, err := service.Dial(ctx, runtimeDir, name)
	if errors.Is(err, service.ErrNobody) || errors.Is(err, service.ErrNoService) {
		return condition{Service: name, Reason: err.Error()}, nil
	}
	var status *service.Status
	if err == nil {
		defer c.Close()
		status, err = c.Status(ctx)
	}
	var ambiguous *service.AmbiguousError
	if err == nil {
		return condition{Service: c.Name(), Active: explain(status.State).active, Status: status}, nil
	} else if !errors.As(err, &ambiguous) {
		_, next := judge(err)
		err = failure{err, next, exitUnknown}
	}
	return condition{}, err
}

// maxLost is how many conversations in a row may break off: a generation that hands over and leaves may have begun one.
const maxLost = 2

// watch shows what is seen until ctx ends, which is the usual end.
func (a *app) watch(ctx context.Context, c *cli.Command, look func(context.Context) (sight, error)) error {
	again := time.NewTicker(c.Duration("interval"))
	defer again.Stop()
	_, redraw := terminal(a.stdout)
	var before sight
	lost := 0
	for {
		s, err := look(ctx)
		if errors.Is(err, service.ErrLost) && lost < maxLost {
			lost++
			s, err = before, nil
		} else {
			lost = 0
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case s == nil:
			// nothing was seen yet
		case redraw && !asJSON(c):
			fmt.Fprint(a.stdout, "\x1b[H\x1b[J")
			err = s.table(a.stdout)
		case before != nil && s.same(before):
			// nothing to tell
		case asJSON(c):
			err = writeLine(a.stdout, s)
		default:
			err = s.line(a.stdout, time.Now())
		}
		if err != nil {
			return err
		}
		before = s
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s condition) up() bool { return s.Active }

func (s condition) same(before sight) bool {
	still := func(c condition) condition {
		if c.Status != nil {
			copied := *c.Status
			copied.UptimeMs = 0
			c.Status = &copied
		}
		return c
	}
	b, ok := before.(condition)
	return ok && reflect.DeepEqual(still(s), still(b))
}

// line says it in one line.
func (s condition) line(w io.Writer, now time.Time) error {
	at := now.Format(time.TimeOnly)
	if s.Status == nil {
		_, err := fmt.Fprintf(w, "%s  %s  inactive    %s\n", at, s.Service, s.Reason)
		return err
	}
	_, err := fmt.Fprintf(w, "%s  %s  %-10s  generation %d pid %d, %s, %d draining\n", at, s.Service, s.State, s.Generation, s.PID,
		counted(s.Connections, "connection"), len(s.Draining))
	return err
}

// table says all that is known.
func (s condition) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, format string, a ...any) { fmt.Fprintf(t, "%s\t%s\n", key, fmt.Sprintf(format, a...)) }
	if s.Service != "" {
		row("service", "%s", s.Service)
	}
	if s.Status == nil {
		row("state", "inactive: %s", s.Reason)
		return t.Flush()
	}
	row("state", "%s: %s", s.State, explain(s.State).text)
	since := (time.Duration(s.UptimeMs) * time.Millisecond).Round(time.Second)
	if s.PID != 0 { // else a keeper has none
		row("generation", "%d, pid %d, since %s", s.Generation, s.PID, since)
		row("build", "%s", s.Build)
	}
	if s.Attempt != 0 {
		row("handover", "attempt %d is under way", s.Attempt)
	}
	row("connections", "%d", s.Connections)
	if t := s.TLS; t != nil {
		row("tls", "%s", tlsText(t))
	}
	for i, ln := range s.Listeners {
		row(first(i, "listeners"), "%s", listenerText(ln))
	}
	for i, d := range s.Draining {
		row(first(i, "draining"), "generation %d, pid %d", d.Generation, d.PID)
	}
	if k := s.Keeper; k != nil {
		row("keeper", "pid %d, %s", k.PID, counted(k.Restarts, "restart"))
		for _, r := range [][2]string{{"running", k.Running}, {"previous", k.Previous}, {"last", k.Last}} {
			if r[1] != "" {
				row(r[0], "%s", r[1])
			}
		}
	}
	return t.Flush()
}

func first(i int, key string) string {
	if i == 0 {
		return key
	}
	return ""
}

// tlsText tells what becomes of HTTPS connections.
func tlsText(t *wire.TLS) string {
	if t.Off != "" {
		return "drained: " + t.Off
	}
	text := fmt.Sprintf("%d left, %d came", t.Left, t.Came)
	for _, reason := range slices.Sorted(maps.Keys(t.Stayed)) {
		text += fmt.Sprintf(", %d stay: %s", t.Stayed[reason], reason)
	}
	return text
}

func listenerText(l wire.Listener) string {
	text := l.Network + " " + l.Address
	if l.Bound != "" && l.Bound != l.Address {
		text += " (" + l.Bound + ")"
	}
	var also []string
	if l.Packet {
		also = append(also, "datagrams")
	}
	if l.Shared {
		also = append(also, "held from outside too")
	}
	if len(also) > 0 {
		text += ", " + strings.Join(also, ", ")
	}
	return text
}

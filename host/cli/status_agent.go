package cli

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"text/tabwriter"
	"time"

	"github.com/handover-go/handover/host/control"
)

// keptService is a service that an agent keeps. As JSON it has the agent's keys, and those beside them that a status without an agent has.
type keptService struct {
	Named    string `json:"service"`
	Active   bool   `json:"active"`
	UptimeMs int64  `json:"uptime_ms"`
	control.Service
}

// lookAt sees a service as its agent sees it.
func lookAt(ctx context.Context, client *control.Client, name string) (sight, error) {
	within, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	s, err := client.Service(within, name)
	if err != nil {
		err = fmt.Errorf("ask the agent about service %q: %w", name, err)
		_, next := judge(err)
		return nil, failure{err, next, exitUnknown}
	}
	k := keptService{Named: s.Name, Active: s.Generation != 0 && s.State != "starting" && s.State != "stopped" && s.State != "failed", Service: s}
	if s.Started != nil {
		k.UptimeMs = max(time.Since(*s.Started), 0).Milliseconds()
	}
	return k, nil
}

func (k keptService) up() bool { return k.Active }

func (k keptService) same(before sight) bool {
	b, ok := before.(keptService)
	b.UptimeMs = k.UptimeMs // that time passes is no news
	return ok && reflect.DeepEqual(k, b)
}

func (k keptService) line(w io.Writer, now time.Time) error {
	_, err := fmt.Fprintf(w, "%s  %s  %-10s  generation %s pid %s, %s, %d draining, health %s\n", now.Format(time.TimeOnly), harmless(k.Name), stateOf(k.Service),
		figure(k.Generation), figure(k.PID), counted(k.Connections, "connection"), len(k.Draining), harmless(k.Health))
	return err
}

func (k keptService) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(key, format string, a ...any) {
		fmt.Fprintf(t, "%s\t%s\n", key, harmless(fmt.Sprintf(format, a...)))
	}
	row("service", "%s", k.Name)
	row("state", "%s", stateOf(k.Service))
	if k.Reason != "" {
		row("reason", "%s", k.Reason)
	}
	if k.Version != "" {
		row("version", "%s", k.Version)
	}
	if k.Release != "" {
		row("release", "%s", k.Release)
	}
	if k.Generation != 0 {
		row("generation", "%d, pid %d, since %s", k.Generation, k.PID, uptime(k.Service, time.Now()))
	}
	if k.InFlight != nil {
		row("requests", "%d in flight", *k.InFlight)
	}
	row("connections", "%d", k.Connections)
	row("health", "%s", k.Health)
	for i, d := range k.Draining {
		text := ""
		if d.Connections != nil {
			text = ", " + counted(*d.Connections, "connection")
		}
		row(first(i, "draining"), "generation %d, pid %d%s", d.Generation, d.PID, text)
	}
	if p := k.Keeper; p != nil {
		row("keeper", "pid %d, %s", p.PID, counted(k.Restarts, "restart"))
	}
	if u := k.Upgrade; u != nil {
		row("upgrade", "%s", upgradeText(*u, time.Now()))
	}
	return t.Flush()
}

// upgradeText is an upgrade in a few words.
func upgradeText(u control.Upgrade, now time.Time) string {
	text := fmt.Sprintf("number %d, %s from %s to %s: %s", u.Number, u.Kind, orDash(u.From), orDash(u.To), u.State)
	if u.BakeEnds != nil && !u.Over() {
		text += fmt.Sprintf(", %s left", max(u.BakeEnds.Sub(now), 0).Truncate(time.Second))
	}
	if u.Reason != "" {
		text += ": " + u.Reason
	}
	return text
}

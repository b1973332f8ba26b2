package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/control"
)

// Name is the agent's own, as a service: it is upgraded as any other, by "handover upgrade handover-agent".
const Name = "handover-agent"

// Options say how an agent is run.
type Options struct {
	Config string // path of the configuration
	// Keeper is the command line that keepers are started by. Default: this program.
	Keeper []string
	Logger *slog.Logger
}

// Run keeps the services until ctx ends, SIGTERM comes, or another build of the agent has taken over. The services run on.
// SIGHUP reads the configuration again, SIGUSR2 upgrades the agent.
func Run(ctx context.Context, o Options) error {
	c, err := config.Load(o.Config)
	if err != nil {
		return err
	}
	if err := prepare(c); err != nil {
		return err
	}
	p, err := handover.New(ctx, handover.Config{
		Name: Name, RuntimeDir: c.Runtime, Logger: o.Logger,
		Check: func(context.Context, handover.DialFunc) error { // a build that cannot read it is no successor
			_, err := config.Load(o.Config)
			return err
		},
		Probation: probation, FreezeTimeout: freeze,
	})
	if err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	a := &agent{options: o, log: o.Logger, config: c, feed: control.NewFeed(eventsKept), started: time.Now(), loaded: time.Now()}
	if err := a.listen(ctx, p, c.Control); err != nil {
		return fmt.Errorf("run the agent: %w", err)
	}
	p.WhileServing(a.keep)
	err = p.Run(ctx)
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

const (
	// probation of the agent's next build: what it has to show is soon seen.
	probation = 3 * time.Second
	// freeze is longer than requests in flight are awaited by the control API.
	freeze = 15 * time.Second
	// eventsKept is for how many events one can come back.
	eventsKept = 1000
)

// prepare makes the directories that the agent needs before anything else.
func prepare(c config.Config) error {
	for dir, mode := range map[string]os.FileMode{
		c.Runtime: 0o700, filepath.Join(c.State, "agent"): 0o700, c.Log: 0o755, filepath.Dir(c.Control.Socket): 0o755,
	} {
		if err := os.MkdirAll(dir, mode); err != nil {
			return fmt.Errorf("make a directory of the agent: %w", err)
		}
	}
	return nil
}

// listen has the sockets of the control API, which pass from one generation of the agent to the next.
func (a *agent) listen(ctx context.Context, p *handover.Process, c config.Control) error {
	ln, err := p.Listen(ctx, "unix", c.Socket)
	if err != nil {
		return fmt.Errorf("listen for the control API: %w", err)
	}
	if err := os.Chmod(c.Socket, 0o666); err != nil { // the role of each client is looked up
		return fmt.Errorf("listen for the control API: %w", err)
	}
	a.doors = append(a.doors, newDoor(ctx, ln, a.log))
	if c.Listen == "" {
		return nil
	}
	if ln, err = p.Listen(ctx, "tcp", c.Listen); err != nil {
		return fmt.Errorf("listen for the control API: %w", err)
	}
	a.doors = append(a.doors, newDoor(ctx, ln, a.log))
	return nil
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/host/supervise"
)

// ErrAgentRuns: an agent keeps the services, and would start again what others end.
var ErrAgentRuns = errors.New("an agent is running")

// EndServices ends all services of a configuration gracefully, each when those that come after it have ended, and returns when the last has.
// One that does not end holds up no other: all errors are joined. It is for the end of the host, when the agent has ended already: nothing
// records that they were ended, so the next agent starts them again. Errors: ErrAgentRuns, and then nothing was asked to end.
func EndServices(ctx context.Context, o Options) error {
	c, err := config.Load(o.Config)
	if err != nil {
		return err
	}
	agent, err := service.Dial(ctx, c.Runtime, Name)
	switch {
	case err == nil:
		defer agent.Close()
		return fmt.Errorf("end all services: %w: pid %d", ErrAgentRuns, agent.PID())
	case !errors.Is(err, service.ErrNobody):
		return fmt.Errorf("end all services: %w", err)
	}
	return inEndOrder(c.Services, func(s config.Service) error { return endService(ctx, c, s, o.Logger) })
}

// endService ends one by whoever answers for it: its keeper, or a generation whose keeper has died.
func endService(ctx context.Context, c config.Config, s config.Service, log *slog.Logger) error {
	dir, err := takeoverDir(c, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, supervise.EndTimeout(s.Policy.StopTimeout, len(s.Listen) > 0))
	defer cancel()
	client, err := service.Dial(ctx, dir, s.Name)
	if errors.Is(err, service.ErrNobody) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end service %q: %w", s.Name, err)
	}
	defer client.Close()
	if err := client.Stop(ctx); err != nil {
		return err
	}
	if err := client.Wait(ctx); err != nil {
		return err
	}
	log.Info("the service has ended", "service", s.Name, "pid", client.PID())
	return nil
}

// takeoverDir is where the takeover socket of a service lies, which only its own user can enter.
func takeoverDir(c config.Config, s config.Service) (string, error) {
	if s.User == "" && len(s.Groups) == 0 {
		return c.Runtime, nil
	}
	a, err := account(s)
	if err != nil {
		return "", err
	}
	return filepath.Join(filepath.Dir(c.Control.Socket), "uid-"+strconv.Itoa(int(a.UID))), nil
}

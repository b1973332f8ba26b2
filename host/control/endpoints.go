package control

import (
	"context"
	"slices"
	"time"

	"github.com/handover-go/handover/host/audit"
)

func (s *Server) services(ctx context.Context, _ *call, _ none) ([]Service, error) {
	all, err := s.backend.Services(ctx)
	return slices.Grow(all, 1)[:len(all)], err // [] and not null
}

func (s *Server) service(ctx context.Context, c *call, _ none) (Service, error) {
	return s.backend.Service(ctx, c.service)
}

func (s *Server) plan(ctx context.Context, c *call, r UpgradeRequest) (Plan, error) {
	if err := r.validate(); err != nil {
		return Plan{}, err
	}
	return s.backend.Plan(ctx, c.Caller, c.service, r)
}

func (s *Server) upgrade(ctx context.Context, c *call, r UpgradeRequest) (Upgrade, error) {
	if err := r.validate(); err != nil {
		return Upgrade{}, err
	}
	u, err := s.backend.Upgrade(ctx, c.Caller, c.service, r)
	return s.begun(c, u, err, r.Wait)
}

func (s *Server) rollback(ctx context.Context, c *call, r RollbackRequest) (Upgrade, error) {
	u, err := s.backend.Rollback(ctx, c.Caller, c.service, r)
	return s.begun(c, u, err, r.Wait)
}

// begun has an upgrade recorded, and waits for its end if the client wants to know it. That wait ends with the client.
func (s *Server) begun(c *call, u Upgrade, err error, wait bool) (Upgrade, error) {
	c.status, c.detail = 202, u.ID
	if err != nil || !wait {
		return u, err
	}
	s.record(c, nil)
	for steps := 0; !u.Over(); steps = len(u.Steps) {
		if u, err = s.backend.Await(c.client, u.Service, u.Number, steps); err != nil {
			if c.client.Err() != nil {
				err = ErrUnavailable
			}
			return u, err
		}
	}
	c.status = 200
	return u, u.Err()
}

func (s *Server) promote(ctx context.Context, c *call, _ none) (Upgrade, error) {
	return s.backend.Promote(ctx, c.Caller, c.service)
}

func (s *Server) abort(ctx context.Context, c *call, r ReasonRequest) (Upgrade, error) {
	return s.backend.Abort(ctx, c.Caller, c.service, r.Reason)
}

func (s *Server) pause(ctx context.Context, c *call, r ReasonRequest) (Service, error) {
	return s.backend.Pause(ctx, c.Caller, c.service, r.Reason)
}

func (s *Server) resume(ctx context.Context, c *call, _ none) (Service, error) {
	return s.backend.Resume(ctx, c.Caller, c.service)
}

func (s *Server) start(ctx context.Context, c *call, _ none) (Service, error) {
	return s.backend.Start(ctx, c.Caller, c.service)
}

func (s *Server) stop(ctx context.Context, c *call, _ none) (Service, error) {
	return s.backend.Stop(ctx, c.Caller, c.service)
}

func (s *Server) history(ctx context.Context, c *call, _ none) ([]Upgrade, error) {
	limit, err := c.integer("limit", 20, 1, 1000)
	if err != nil {
		return nil, err
	}
	all, err := s.backend.History(ctx, c.service, limit)
	return slices.Grow(all, 1)[:len(all)], err
}

func (s *Server) releases(ctx context.Context, c *call, _ none) ([]Release, error) {
	all, err := s.backend.Releases(ctx, c.service)
	return slices.Grow(all, 1)[:len(all)], err
}

// longestWait bounds a long poll.
const longestWait = 5 * time.Minute

func (s *Server) lookup(ctx context.Context, c *call, _ none) (Upgrade, error) {
	number, err := c.number()
	if err != nil {
		return Upgrade{}, err
	}
	wait, err := c.duration("wait", longestWait)
	if err != nil {
		return Upgrade{}, err
	}
	steps, err := c.integer("steps", -1, 0, 1<<20)
	if err != nil {
		return Upgrade{}, err
	}
	if steps < 0 {
		steps = 1 << 30
	}
	u, err := s.backend.Lookup(ctx, c.service, number)
	if err != nil || wait == 0 || u.Over() || len(u.Steps) > steps {
		return u, err
	}
	within, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	later, err := s.backend.Await(within, c.service, number, steps)
	if err != nil && within.Err() != nil {
		return s.backend.Lookup(context.WithoutCancel(ctx), c.service, number) // as it stands
	}
	return later, err
}

func (s *Server) agent(ctx context.Context, c *call, _ none) (Agent, error) {
	a, err := s.backend.Agent(ctx)
	a.Role = c.Role.String()
	return a, err
}

func (s *Server) reload(ctx context.Context, c *call, _ none) (Reload, error) {
	return s.backend.Reload(ctx, c.Caller)
}

func (s *Server) stopAll(ctx context.Context, c *call, _ none) (none, error) {
	return none{}, s.backend.StopAll(ctx, c.Caller)
}

func (s *Server) auditPage(_ context.Context, c *call, _ none) (AuditPage, error) {
	limit, err := c.integer("limit", 100, 1, 1000)
	if err != nil {
		return AuditPage{}, err
	}
	before, err := c.integer("before", 0, 0, 1<<53)
	if err != nil {
		return AuditPage{}, err
	}
	head := s.log.Head() // not behind what is read next
	records, err := audit.Read(s.log.Path(), audit.Query{Limit: limit, Before: uint64(before), Service: c.query.Get("service")})
	return AuditPage{slices.Grow(records, 1)[:len(records)], head}, err
}

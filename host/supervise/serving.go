package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
)

// build is which of its builds an upgrade finds serving.
type build int

const (
	unknown build = iota // nobody tells: no keeper answers, or none of its generations serves at the moment
	theNew               // that of the upgrade
	theOld               // the one before
	another              // neither
)

// whose says which build serves. The label tells, by which an upgrade has a process started. Without one a keeper has started it that began since, or
// somebody who asked the keeper beside the agent: then its release tells, its digest, or that of its program.
func (u *upgrade) whose(status *service.Status) build {
	g, ok := serving(status)
	r := u.snapshot()
	runs := u.s.releaseIn(g.Dir)
	if u.s.releases == nil {
		runs = running(status)
	}
	switch {
	case ok && g.Label == u.label(false):
		return theNew
	case ok && g.Label == u.label(true):
		return theOld
	case r.To == "" && g.Label == "": // no digest is on record from a keeper of an older build, which knows no labels
		if status != nil && status.Keeper != nil && status.Keeper.Attempt != nil && status.Keeper.Attempt.Outcome == "final" {
			return theNew
		}
		return unknown
	case !ok, g.Label == "" && r.To == r.From:
		return unknown
	case g.Label == "" && runs == "":
		return u.whoseProgram(g.Digest)
	case g.Label == "" && runs == r.To:
		return theNew
	case runs == r.From && r.To != r.From:
		return theOld
	default:
		return another
	}
}

// whoseProgram is whose for a process that was not started in the directory of its release, as Config.Directory has it.
func (u *upgrade) whoseProgram(digest string) build {
	c := &u.s.config
	before, after := c.digest(u.from), c.digest(u.to)
	switch {
	case digest == "" || after == "" || before == after:
		return unknown
	case digest == after:
		return theNew
	case digest == before:
		return theOld
	default:
		return another
	}
}

// digest is the SHA-256 of what is started of a release; empty if its manifest does not tell.
func (c *Config) digest(r release.Release) string {
	path, _ := c.program(r)
	for _, f := range r.Manifest.Files {
		if filepath.Join(r.Dir, f.Path) == path {
			return f.SHA256
		}
	}
	return ""
}

// seemsDisplaced reports whether another build serves than the one that is watched, by what was heard last: that may have been said before the commit.
func (u *upgrade) seemsDisplaced() bool {
	u.s.mu.Lock()
	status := u.s.status
	u.s.mu.Unlock()
	which := u.whose(status)
	return which == theOld || which == another
}

// displaced asks whether another build serves than the one that is watched, and ends the upgrade then: to keep what does not serve would have the next start
// begin with a build that somebody has gone back from. What serves is current then, or, if it is no release, the one before.
func (u *upgrade) displaced(ctx context.Context) bool {
	status, err := u.s.ask(ctx)
	if err != nil {
		return false // as long as nobody tells, the verdict on what was watched stands
	}
	g, _ := serving(status)
	switch u.whose(status) {
	case theOld:
		u.current = u.from.ID
		u.end(ctx, "returned", errors.New("the build before serves, and the agent has not gone back to it"))
		return true
	case another:
		u.current = cmp.Or(u.s.releaseIn(g.Dir), u.from.ID)
		u.end(ctx, "failed", fmt.Errorf("another build serves than the one that was watched: process %d in %s", g.PID, g.Dir))
		return true
	default:
		return false
	}
}

// ask asks how the service is.
func (s *Supervisor) ask(ctx context.Context) (*service.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, figuresTimeout)
	defer cancel()
	c, err := s.keepers.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Status(ctx)
}

package supervise

import (
	"context"
	"time"

	"github.com/handover-go/handover/host/release"
)

// fetch takes a release in.
func (s *Supervisor) fetch(ctx context.Context, source string, older bool) (release.Release, error) {
	src, err := release.ParseSource(source)
	if err != nil {
		return release.Release{}, err
	}
	trust := s.config.Trust
	trust.AllowOlder, trust.Now = older, time.Now()
	return s.releases.Add(ctx, src, trust, nil)
}

// Offered is the release that the configured source has now, by its ID, if it is not the one that serves. What the policy refuses is an
// error.
func (s *Supervisor) Offered(ctx context.Context) (id string, err error) {
	src, err := release.ParseSource(s.config.Source)
	if err != nil {
		return "", err
	}
	trust := s.config.Trust
	trust.Now = time.Now()
	m, err := s.releases.Peek(ctx, src, trust)
	if err != nil {
		return "", err
	}
	if current, ok, err := s.releases.Current(); err == nil && ok && current.ID == m.ID() {
		return "", nil
	}
	return m.ID(), nil
}

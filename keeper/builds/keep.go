package builds

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Keep protects the builds of these digests, and no others from now on, and removes what is beyond the bounds: of the builds
// that are not protected, those put longest ago. Protected are the builds that run, and the one to roll back to. Digests of
// builds that are not kept are let pass, as those of held ones are.
func (s *Store) Keep(digests ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.protected = map[string]bool{}
	for _, d := range digests {
		s.protected[d] = true
	}
	if err := s.pruneLocked(""); err != nil {
		return fmt.Errorf("keep the bounds of store %q: %w", s.dir, err)
	}
	return nil
}

// pruneLocked removes what is beyond the bounds. What is protected, and the build just put, is counted first.
func (s *Store) pruneLocked(put string) error {
	if s.protected == nil {
		return nil
	}
	var count int
	var bytes int64
	var others []Build
	for _, b := range s.latestFirstLocked() {
		if s.protected[b.Digest] || b.Digest == put {
			count, bytes = count+1, bytes+b.Size
		} else {
			others = append(others, b)
		}
	}
	var failed []error
	full := false
	for _, b := range others {
		if b.Path != "" {
			count, bytes = count+1, bytes+b.Size
		}
		// An older build is not kept for being smaller than a newer one that had to go; a damaged one never is.
		full = full || count > s.config.Builds || bytes > s.config.Bytes
		if full || b.Path == "" {
			failed = append(failed, s.removeLocked(b.Digest))
		}
	}
	return errors.Join(failed...)
}

// removeLocked takes the build's name from it first, so that what is left if this process ends here is no build. It needs no
// space on a full disk.
func (s *Store) removeLocked(digest string) error {
	going := filepath.Join(s.dir, stagePrefix+digest)
	if err := os.RemoveAll(going); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(s.dir, digest), going); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	delete(s.builds, digest)
	return errors.Join(os.RemoveAll(going), syncDir(s.dir))
}

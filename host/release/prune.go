package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Prune removes releases, and returns the IDs of those that it has removed. It spares the current one, the last committed one, those
// in use, and of all others the keep that were added last. Damaged ones go first, unless they are spared.
func (s *Store) Prune(keep int, inUse ...string) ([]string, error) {
	removed, err := s.prune(keep, inUse)
	if err != nil {
		return removed, fmt.Errorf("prune releases: %w", err)
	}
	return removed, nil
}

func (s *Store) prune(keep int, inUse []string) ([]string, error) {
	if keep < 0 {
		return nil, fmt.Errorf("keep %d: give 0 or more", keep)
	}
	trash, removed, err := s.discard(keep, inUse)
	for _, t := range trash { // without the lock: it may take long
		err = errors.Join(err, os.RemoveAll(t))
	}
	return removed, err
}

// discard moves releases to where Recover would find them.
func (s *Store) discard(keep int, inUse []string) (trash, removed []string, err error) {
	unlock, err := s.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	ids, err := s.superfluous(keep, inUse)
	if err != nil || len(ids) == 0 {
		return nil, nil, err
	}
	if err := s.makeDirs(); err != nil {
		return nil, nil, err
	}
	for _, id := range ids {
		bin, err := os.MkdirTemp(s.path(stagingDir), "prune-*")
		if err != nil {
			return trash, removed, err
		}
		trash = append(trash, bin)
		if err := s.disk.rename(s.path(releasesDir, id), filepath.Join(bin, id)); err != nil {
			return trash, removed, err
		}
		removed = append(removed, id)
	}
	return trash, removed, s.disk.syncDir(s.path(releasesDir))
}

// superfluous are the releases that nobody needs.
func (s *Store) superfluous(keep int, inUse []string) ([]string, error) {
	current, err := s.currentID()
	if err != nil {
		return nil, err
	}
	mark, err := s.mark()
	if err != nil {
		return nil, err
	}
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	spared := append(slices.Clone(inUse), current, mark.Release)
	good, _ := s.List() // the damaged are those that are missing
	for _, r := range good {
		if keep > 0 && !slices.Contains(spared, r.ID) {
			spared = append(spared, r.ID)
			keep--
		}
	}
	return slices.DeleteFunc(ids, func(id string) bool { return slices.Contains(spared, id) }), nil
}

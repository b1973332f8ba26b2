package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// List is all releases, the one added last first. Those that are damaged are left out, and named in the error; the others are there all
// the same.
func (s *Store) List() ([]Release, error) {
	ids, err := s.ids()
	if err != nil {
		return nil, err
	}
	var all []Release
	var damaged []error
	for _, id := range ids {
		r, err := s.load(id)
		switch {
		case err == nil:
			all = append(all, r)
		case !errors.Is(err, ErrNotFound): // pruned since
			damaged = append(damaged, err)
		}
	}
	slices.SortFunc(all, func(a, b Release) int {
		if c := b.Added.Compare(a.Added); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return all, errors.Join(damaged...)
}

// ids are the names of all releases, damaged or not.
func (s *Store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.path(releasesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && idSyntax.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// Get finds a release by its ID, its version, the beginning of its ID, or the word "current". Errors wrap ErrNotFound, ErrAmbiguous or ErrDamaged.
func (s *Store) Get(ref string) (Release, error) {
	if ref == currentLink {
		r, ok, err := s.Current()
		if err == nil && !ok {
			err = fmt.Errorf("%w: none is current", ErrNotFound)
		}
		return r, err
	}
	ids, err := s.ids()
	if err != nil {
		return Release{}, err
	}
	for _, means := range []func(id string) bool{
		func(id string) bool { return id == ref },
		func(id string) bool { return id[:strings.LastIndexByte(id, '-')] == ref },
		func(id string) bool { return ref != "" && strings.HasPrefix(id, ref) },
	} {
		switch found := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !means(id) }); len(found) {
		case 0:
		case 1:
			return s.load(found[0])
		default:
			return Release{}, fmt.Errorf("%w are meant by %q: %s", ErrAmbiguous, ref, strings.Join(found, ", "))
		}
	}
	return Release{}, fmt.Errorf("%w: %q in %s", ErrNotFound, ref, s.dir)
}

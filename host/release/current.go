package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// Activate makes a release the current one. At every instant the one before or this one is current. Older ones may be activated: they were
// let in once. Errors wrap ErrNotFound or ErrDamaged.
func (s *Store) Activate(id string) error {
	if err := s.activate(id); err != nil {
		return fmt.Errorf("activate release %q: %w", id, full(err))
	}
	return nil
}

func (s *Store) activate(id string) error {
	r, unlock, err := s.hold(id)
	if err != nil {
		return err
	}
	defer unlock()
	if info, err := os.Lstat(r.Command()); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	} else if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is no file", ErrDamaged, r.Command())
	}
	if err := s.makeDirs(); err != nil {
		return err
	}
	next := s.path(stagingDir, currentLink)
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(path.Join(releasesDir, id), next); err != nil { // relative: the store may be moved
		return err
	}
	if err := s.disk.rename(next, s.path(currentLink)); err != nil {
		return err
	}
	return s.disk.syncDir(s.dir)
}

// hold locks the store, and reads a release of it.
func (s *Store) hold(id string) (r Release, unlock func(), err error) {
	unlock, err = s.lock()
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil, ErrNotFound
	}
	if err != nil {
		return r, nil, err
	}
	if r, err = s.load(id); err != nil {
		unlock()
	}
	return r, unlock, err
}

// Current is the release that was activated last; false if none was. An error that wraps ErrDamaged or ErrNotFound says that the link
// leads to nothing that can be used.
func (s *Store) Current() (Release, bool, error) {
	id, err := s.currentID()
	if err != nil || id == "" {
		return Release{}, false, err
	}
	r, err := s.load(id)
	if err != nil {
		return Release{}, false, fmt.Errorf("read the current release: %w", err)
	}
	return r, true, nil
}

// currentID is where the link leads, whether there is something or not; empty if there is no link.
func (s *Store) currentID() (string, error) {
	target, err := os.Readlink(s.path(currentLink))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the current release: %w", err)
	}
	dir, id := path.Split(target)
	if filepath.Clean(dir) != releasesDir {
		return "", fmt.Errorf("read the current release: %w: %s links to %q", ErrDamaged, s.path(currentLink), target)
	}
	return id, nil
}

// committed is the highest version that was committed.
type committed struct {
	Schema  int    `json:"schema"`
	Version string `json:"version"`
	Release string `json:"release"` // its ID
}

// Commit says that a release has proved itself: from now on Add refuses versions below it. To commit an older one changes nothing.
func (s *Store) Commit(id string) error {
	if err := s.commit(id); err != nil {
		return fmt.Errorf("commit release %q: %w", id, full(err))
	}
	return nil
}

func (s *Store) commit(id string) error {
	r, unlock, err := s.hold(id)
	if err != nil {
		return err
	}
	defer unlock()
	mark, err := s.mark()
	if err != nil {
		return err
	}
	if mark.Version != "" {
		if older, err := less(r.Manifest.Version, mark.Version); older || err != nil || mark.Release == id {
			return err
		}
	}
	text, err := json.Marshal(committed{Schema: Schema, Version: r.Manifest.Version, Release: id})
	if err != nil {
		return err
	}
	if err := s.makeDirs(); err != nil {
		return err
	}
	f, err := renameio.NewPendingFile(s.path(committedFile), renameio.WithTempDir(s.path(stagingDir)), renameio.WithStaticPermissions(0o644))
	if err != nil {
		return err
	}
	defer func() { _ = f.Cleanup() }()
	if _, err := f.Write(append(text, '\n')); err != nil {
		return err
	}
	s.disk.before("replace " + committedFile)
	if err := f.CloseAtomicallyReplace(); err != nil {
		return err
	}
	return s.disk.syncDir(s.dir)
}

// Committed is the highest version that was committed; empty if none was.
func (s *Store) Committed() (version string, err error) {
	mark, err := s.mark()
	return mark.Version, err
}

// mark reads it. What cannot be read is an error, not an absence: else who breaks it could add older versions.
func (s *Store) mark() (committed, error) {
	var c committed
	text, err := readSmall(s.path(committedFile), maxKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && (c.Schema != Schema || c.Version == "") {
		err = fmt.Errorf("schema %d, version %q", c.Schema, c.Version)
	}
	if err != nil {
		return c, fmt.Errorf("read the last committed version: %s is %w: %v", s.path(committedFile), ErrDamaged, err)
	}
	return c, nil
}

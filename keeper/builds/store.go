// Package builds keeps a copy of every build that ran, so that a restart after a crash, and a rollback, do not depend on
// what has become of the file that was deployed.
//
// It promises that what stands under a digest has that content, or is not there: a crash at any instant, a full disk and
// a read-only one leave no half-written build; that the store stays within its bounds, and that no build which its user
// protects is removed. Where nothing can be written at all, Hold keeps a build as an open file.
//
// A store is a directory of this user alone, used by one process at a time:
//
//	DIGEST/server      the executable, mode 0500, with the file name it was put with
//	DIGEST/build.json  what is known of it
//	.stage-*           a build being copied, or one being removed; removed when the store is opened
//	.lock
//
// It needs Linux; elsewhere Open and Hold answer errors.ErrUnsupported.
package builds

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/handover-go/handover/internal/platform"
)

// ErrUnusable: builds cannot be kept in this directory, now or ever: it is read-only, full, not this user's alone, mounted
// noexec, or used by another process (then the error is platform.ErrLocked too). A build can be held instead.
var ErrUnusable = errors.New("builds cannot be kept there")

const (
	lockName    = ".lock"
	stagePrefix = ".stage-"
)

// Config bounds a store. What is protected stays, even beyond the bounds.
type Config struct {
	Builds int   // at most so many; 5 if 0
	Bytes  int64 // at most so many, and of one build as well; 2 GiB if 0
}

func (c Config) withDefaults() (Config, error) {
	if c.Builds < 0 || c.Bytes < 0 {
		return c, fmt.Errorf("bounds of %d builds and %d bytes: give positive ones, or 0 for the defaults", c.Builds, c.Bytes)
	}
	if c.Builds == 0 {
		c.Builds = 5
	}
	if c.Bytes == 0 {
		c.Bytes = 2 << 30
	}
	return c, nil
}

// Store is a directory of builds. Its methods may be called from several goroutines.
type Store struct {
	dir    string
	config Config
	unlock func()

	mu        sync.Mutex
	builds    map[string]Build // by digest; one without a Path is damaged
	protected map[string]bool  // nil until Keep was called: all of them
}

// Open opens the store in dir, which it makes if it is missing, and removes what an earlier process left half done. An error
// that is ErrUnusable says why builds cannot be kept there, and what to do. The caller closes the store.
func Open(dir string, config Config) (*Store, error) {
	s, err := open(dir, config)
	if err != nil {
		return nil, fmt.Errorf("open store of builds %q: %w", dir, err)
	}
	return s, nil
}

func open(dir string, config Config) (*Store, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := platform.PrivateDir(dir); err != nil {
		return nil, unusable(err)
	}
	if no, err := platform.NoExec(dir); err == nil && no {
		return nil, unusable(errors.New("it is mounted noexec, so that nothing could be started from it: give another directory"))
	}
	unlock, err := platform.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, unusable(err)
	}
	s := &Store{dir: dir, config: config, unlock: unlock}
	if err := s.load(); err != nil {
		unlock()
		return nil, unusable(err)
	}
	return s, nil
}

// load removes what is half done, and lists the rest; contents are not read.
func (s *Store) load() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	s.builds = map[string]Build{}
	for _, entry := range entries {
		switch name := entry.Name(); {
		case strings.HasPrefix(name, stagePrefix):
			if err := os.RemoveAll(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		case isDigest(name):
			s.builds[name] = loadBuild(s.dir, name)
		}
	}
	return nil
}

// Close lets another process use the store; this one no longer may. Builds that run are not touched. It may be called more
// than once.
func (s *Store) Close() {
	s.mu.Lock() // a Put that is under way ends first
	defer s.mu.Unlock()
	s.unlock()
}

// List returns the builds, the one put last first.
func (s *Store) List() []Build {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(s.latestFirstLocked(), func(b Build) bool { return b.Path == "" })
}

// Get returns the build of a digest, unread; fs.ErrNotExist if it is not kept.
func (s *Store) Get(digest string) (Build, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.builds[digest]
	if b.Path == "" {
		return Build{}, fmt.Errorf("find build %q in %q: %w", digest, s.dir, fs.ErrNotExist)
	}
	return b, nil
}

// Path returns what to execute to start the build of a digest; fs.ErrNotExist if it is not kept.
func (s *Store) Path(digest string) (string, error) {
	b, err := s.Get(digest)
	return b.Path, err
}

// Verify reads the build of a digest; ErrCorrupt if its content is another one, fs.ErrNotExist if it is not kept. Putting
// the build again repairs it.
func (s *Store) Verify(digest string) error {
	b, err := s.Get(digest)
	if err != nil {
		return err
	}
	return b.Verify()
}

func (s *Store) latestFirstLocked() []Build {
	return slices.SortedFunc(maps.Values(s.builds), func(a, b Build) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Digest, b.Digest)
	})
}

func unusable(err error) error { return fmt.Errorf("%w: %w", ErrUnusable, err) }

package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"
)

// What lies in a store's directory.
const (
	releasesDir   = "releases"  // a directory for each release
	stagingDir    = "staging"   // what is not done yet
	currentLink   = "current"   // to one of releases
	committedFile = "committed" // the highest version that was committed
)

// Store is the releases of one service. Its methods may be called by several goroutines and processes at a time.
type Store struct {
	dir    string
	disk   disk
	enough func(dir string, r room) error
}

// Open opens the store in a directory, and removes what a crash left half done. A directory that is missing is an empty store: the first
// release makes it. There is nothing to close.
func Open(dir string) (*Store, error) { return open(dir, disk{}) }

func open(dir string, d disk) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{dir: dir, disk: d, enough: enough}
	if err := s.Recover(); err != nil && !others(err) {
		return nil, err
	}
	return s, nil
}

// others tells that to recover the store is for somebody else: who may write there, or is at work there.
func others(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) || errors.Is(err, ErrBusy)
}

// Dir is the store's directory, absolute.
func (s *Store) Dir() string { return s.dir }

// Recover removes what a crash left half done. What another process is adding meanwhile stays.
func (s *Store) Recover() error {
	if _, err := os.Lstat(s.path(stagingDir)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	unlock, err := s.lock()
	if err != nil {
		return fmt.Errorf("recover store: %w", err)
	}
	defer unlock()
	staged, err := os.ReadDir(s.path(stagingDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("recover store: %w", err)
	}
	for _, e := range staged {
		if err := s.sweep(s.path(stagingDir, e.Name()), e.IsDir()); err != nil {
			return fmt.Errorf("recover store: %w", err)
		}
	}
	return nil
}

// sweep removes one thing from staging, if nobody is at work on it.
func (s *Store) sweep(path string, isDir bool) error {
	if isDir {
		unlock, err := tryLock(path)
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil
		}
		if err != nil {
			return err
		}
		defer unlock()
	}
	return os.RemoveAll(path)
}

// makeDirs makes the directories.
func (s *Store) makeDirs() error {
	if err := s.makeAll(s.dir); err != nil {
		return full(err)
	}
	for name, mode := range map[string]fs.FileMode{releasesDir: 0o755, stagingDir: stagingMode} {
		if err := makeDir(s.path(name), mode); err != nil {
			return full(err)
		}
	}
	return s.disk.syncDir(s.dir)
}

// stagingMode keeps others from opening the directory, and so from locking it: flock(2) asks for no right to write.
const stagingMode = 0o700

// makeAll makes a directory and those above it that are missing, each with its name written out.
func (s *Store) makeAll(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := s.makeAll(above); err != nil {
		return err
	}
	if err := makeDir(dir, 0o755); err != nil {
		return err
	}
	return s.disk.syncDir(above)
}

// makeDir makes a directory that may be there already. Its mode does not depend on the umask: who runs a release need not be who keeps it.
func makeDir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func (s *Store) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// lockTimeout bounds the wait for who changes the store: a few renames, or nothing if its process is stopped.
const lockTimeout = 10 * time.Second

// lock keeps others from changing the store until unlock is called. It must not be held over anything long. Without a store the error is
// fs.ErrNotExist.
func (s *Store) lock() (unlock func(), err error) {
	if _, err := os.Lstat(s.path(releasesDir)); err != nil {
		return nil, err
	}
	if err := makeDir(s.path(stagingDir), stagingMode); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTimeout)
	again := time.NewTicker(5 * time.Millisecond) // nothing tells of the end of a lock but a wait that has no end itself
	defer again.Stop()
	for {
		unlock, err := tryLock(s.path(stagingDir))
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return unlock, err
		}
		if now := <-again.C; now.After(deadline) {
			return nil, fmt.Errorf("%w: %s, for more than %s: look for another handover at work", ErrBusy, s.dir, lockTimeout)
		}
	}
}

// tryLock locks a directory. The lock ends with the process, if unlock is not called before.
func tryLock(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return func() {
		_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // closing is not enough while a child that was just forked has a copy
		_ = f.Close()
	}, nil
}

// Release is a release on disk.
type Release struct {
	ID       string // VERSION-DIGEST, the first twelve digits of it
	Dir      string // absolute
	Manifest Manifest
	Signer   string    // name and number of the key that had signed it when it was added; empty: nobody
	Source   string    // where it came from
	Added    time.Time // when
}

// Command is the absolute path of the program.
func (r Release) Command() string { return filepath.Join(r.Dir, r.Manifest.Command) }

// origin is what is kept of how a release came here.
type origin struct {
	Schema int       `json:"schema"`
	Source string    `json:"source"`
	Signer string    `json:"signer,omitempty"`
	Added  time.Time `json:"added"`
}

// What ownDir has.
const (
	ownManifest  = "release.json"
	ownSignature = "release.json.minisig"
	ownOrigin    = "origin.json"
)

var idSyntax = regexp.MustCompile(`^[0-9A-Za-z.+-]+-[0-9a-f]{12}$`)

// load reads a release. Errors wrap ErrNotFound or ErrDamaged.
func (s *Store) load(id string) (Release, error) {
	r := Release{ID: id, Dir: s.path(releasesDir, id)}
	if !idSyntax.MatchString(id) {
		return r, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if _, err := os.Lstat(r.Dir); errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("%w: %q", ErrNotFound, id)
	} else if err != nil {
		return r, err
	}
	text, err := readSmall(filepath.Join(r.Dir, ownDir, ownManifest), maxManifest)
	if err == nil {
		r.Manifest, err = DecodeManifest(text)
	}
	if err == nil && r.Manifest.ID() != id {
		err = fmt.Errorf("its manifest is of %q", r.Manifest.ID())
	}
	var o origin
	if err == nil {
		text, err = readSmall(filepath.Join(r.Dir, ownDir, ownOrigin), maxKeyFile)
	}
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return r, fmt.Errorf("release %q is %w: %v", id, ErrDamaged, err) // a refusal would be of an artifact
	}
	r.Signer, r.Source, r.Added = o.Signer, o.Source, o.Added
	return r, nil
}

package keeper

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"

	"github.com/handover-go/handover/keeper/builds"
	"github.com/handover-go/handover/keeper/preflight"
)

// stock is a build that was examined and kept.
type stock struct {
	builds.Build
	file   os.FileInfo // of Origin, when it was kept
	script bool
	dir    string // where it is started, as it was asked for; empty: Config.Dir
	label  string // of who asked for it
	manner *manner
}

// wanted is a build that someone asked for.
type wanted struct {
	path   string // of its file
	dir    string // where it is to be started; empty: Config.Dir
	digest string // that it must have; empty: any
	label  string
	manner *manner // nil: that of the build that serves
	kept   bool    // in which it was started before, if it is kept
}

func (s stock) String() string {
	if s.Digest == "" {
		return "not kept"
	}
	return "sha256:" + s.Digest[:12]
}

// executable is what to start: the file that was deployed, as a program may look for others beside it, or, once that has
// become another, the copy.
func (s stock) executable() string {
	if info, err := os.Stat(s.Origin); err == nil && s.same(info) {
		return s.Origin
	}
	return s.Path
}

// same reports whether info is of the file that was kept, unchanged as far as can be seen without reading it.
func (s stock) same(info os.FileInfo) bool {
	return s.file != nil && os.SameFile(info, s.file) && info.Size() == s.file.Size() && info.ModTime().Equal(s.file.ModTime())
}

// is reports whether it is the same build, started in the same place and manner.
func (s stock) is(other stock) bool {
	return s.Digest == other.Digest && s.dir == other.dir && reflect.DeepEqual(s.manner, other.manner)
}

// shelf keeps the builds that ran.
type shelf struct {
	log      *slog.Logger
	store    *builds.Store // nil where nothing can be written
	running  stock         // where no build can be kept, how it was started alone
	previous stock
}

func newShelf(c Config) (*shelf, error) {
	s := &shelf{log: c.Logger}
	store, err := builds.Open(c.StateDir, builds.Config{})
	switch {
	case err == nil:
		s.store = store
	case errors.Is(err, builds.ErrUnusable):
		c.Logger.Warn("builds are kept as open files: a rollback works until this keeper ends", "error", err)
	default:
		return nil, err
	}
	return s, nil
}

// fetch examines a build, which is to follow the incumbent, process pid, and keeps it.
func (s *shelf) fetch(w wanted, incumbent stock, pid int) (stock, error) {
	reference := preflight.Reference{PID: pid}
	if incumbent.Digest != "" {
		reference.Path = incumbent.Path
	}
	report, err := preflight.Check(w.path, reference)
	for _, finding := range report.Warnings {
		s.log.Warn("preflight", "build", w.path, "finding", finding.Error())
	}
	if err != nil {
		return stock{}, err
	}
	b, err := s.keep(w.path, report.Kind.Format == preflight.Script)
	if err == nil && w.digest != "" && b.Digest != w.digest {
		_ = b.Release()
		return stock{}, fmt.Errorf("the build at %q has digest %q, and %q was asked for", w.path, b.Digest, w.digest)
	}
	b.dir = w.dir
	return b, err
}

func (s *shelf) keep(path string, script bool) (stock, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stock{}, err
	}
	var b builds.Build
	if s.store != nil {
		b, err = s.store.Put(path)
	}
	if s.store == nil || errors.Is(err, builds.ErrUnusable) {
		if err != nil {
			s.log.Warn("the build is kept as an open file", "build", path, "error", err)
		}
		if b, err = builds.Hold(path); err != nil && script {
			return stock{Build: builds.Build{Origin: path, Path: path}, file: info, script: true}, nil // as it is, or not at all
		}
	}
	if err != nil {
		return stock{}, fmt.Errorf("keep the build: %w", err)
	}
	return stock{Build: b, file: info, script: script}, nil
}

// settle has b share the open file of a build that is held already and has the same content.
func (s *shelf) settle(b stock) stock {
	for _, kept := range []stock{s.running, s.previous} {
		if b.Held() && kept.Held() && b.Digest == kept.Digest {
			origin := b.Origin
			_ = b.Release()
			b.Build = kept.Build
			b.Origin = origin
			return b
		}
	}
	return b
}

// drop lets go of a build that no generation runs any longer, if it is not to be started again.
func (s *shelf) drop(b stock) {
	if b.Digest != s.running.Digest && b.Digest != s.previous.Digest {
		_ = b.Release()
	}
}

// serves notes which build serves: the one before is what a rollback starts.
func (s *shelf) serves(b stock) {
	if b.Digest == "" && s.running.Digest == "" {
		s.running.dir, s.running.label, s.running.manner = b.dir, b.label, b.manner
	}
	if b.Digest == "" {
		return
	}
	if b.is(s.running) {
		s.running.label = b.label
		return
	}
	if s.previous.Digest != b.Digest && s.previous.Digest != s.running.Digest {
		_ = s.previous.Release()
	}
	s.previous, s.running = s.running, b
	if s.store == nil {
		return
	}
	keep := []string{s.running.Digest}
	if s.previous.Digest != "" {
		keep = append(keep, s.previous.Digest)
	}
	if err := s.store.Keep(keep...); err != nil {
		s.log.Warn("older builds are not removed", "error", err)
	}
}

func (s *shelf) close() {
	if s.store != nil {
		s.store.Close()
	}
}

// restore finds a build again that the program before this one kept.
func (s *shelf) restore(saved savedStock) stock {
	b := stock{script: saved.Script, dir: saved.Dir, label: saved.Label, manner: saved.Manner}
	if saved.Digest == "" {
		return b
	}
	var err error
	switch {
	case saved.Held >= 0:
		b.Build, err = builds.Hold(fmt.Sprintf("/proc/self/fd/%d", saved.Held))
		b.Origin = saved.Origin
	case s.store != nil:
		b.Build, err = s.store.Get(saved.Digest)
	default:
		err = builds.ErrUnusable
	}
	if err != nil {
		s.log.Warn("a build is not kept any longer", "build", saved.Origin, "error", err)
		return stock{}
	}
	if info, err := os.Stat(b.Origin); err == nil && info.Size() == saved.Size && info.ModTime().Equal(saved.ModTime) {
		b.file = info
	}
	return s.settle(b)
}

package release

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestDirectoriesThatAreNotFitAreRefused(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.signed("1.2.0")
	for name, spoil := range map[string]func(s *Store) error{
		"read-only":          func(s *Store) error { return os.Chmod(s.Dir(), 0o555) },
		"read-only releases": func(s *Store) error { return os.Chmod(s.path(releasesDir), 0o555) },
		"open to others":     func(s *Store) error { return os.Chmod(s.Dir(), 0o777) },
		"open staging":       func(s *Store) error { return os.Chmod(s.path(stagingDir), 0o775) },
		"a file":             func(s *Store) error { return errors.Join(os.RemoveAll(s.Dir()), os.WriteFile(s.Dir(), nil, 0o644)) },
		"below a file": func(s *Store) error {
			err := errors.Join(os.RemoveAll(s.Dir()), os.WriteFile(s.Dir(), nil, 0o644))
			s.dir = filepath.Join(s.dir, "shop")
			return err
		},
	} {
		s, _ := w.serving()
		dir := s.Dir()
		w.check(spoil(s))
		before := snapshot(t, dir)
		_, err := s.Add(t.Context(), source(t, artifact), w.policy(), nil)
		if !errors.Is(err, ErrNotWritable) || !errors.Is(err, ErrRefused) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
		if snapshot(t, dir) != before {
			t.Errorf("%s: the store has changed", name)
		}
		_ = filepath.WalkDir(dir, func(name string, _ os.DirEntry, _ error) error { return os.Chmod(name, 0o755) }) // for t.TempDir
	}
}

func TestRoomIsAskedForBeforeAnythingIsFetched(t *testing.T) {
	w := newWorkshop(t)
	s, _ := w.serving()
	before := snapshot(t, s.dir)
	var asked room
	s.enough = func(_ string, r room) error {
		asked = r
		return fmt.Errorf("%w: injected", ErrNoSpace)
	}
	artifact := w.signed("1.2.0")
	_, err := s.Add(t.Context(), source(t, artifact), w.policy(), func(Progress) { t.Error("it was fetched") })
	if !errors.Is(err, ErrNoSpace) || snapshot(t, s.dir) != before {
		t.Errorf("%v", err)
	}
	info, err := os.Stat(artifact)
	w.check(err)
	if asked.bytes < info.Size()+4*4096 || asked.files < 4 || asked.largest != info.Size() {
		t.Errorf("asked for %+v", asked)
	}
}

func TestRefusalLeavesNoStoreWhereThereWasNone(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.signed("1.2.0")
	s := store(t)
	s.dir = filepath.Join(s.dir, "deeper")
	s.enough = func(dir string, _ room) error {
		_, err := os.Stat(dir)
		return errors.Join(ErrNoSpace, err)
	}
	if _, err := s.Add(t.Context(), source(t, artifact), w.policy(), nil); !errors.Is(err, ErrNoSpace) || errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Dir(s.dir)); !os.IsNotExist(err) {
		t.Errorf("it was made: %v", err)
	}
}

func TestErrorsOfAFullDiskAreToldAsSuch(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		syscall.ENOSPC: ErrNoSpace, syscall.EDQUOT: ErrNoSpace, syscall.EFBIG: ErrNoSpace, syscall.EROFS: ErrNotWritable,
	} {
		if err := full(&os.PathError{Op: "write", Path: "x", Err: errno}); !errors.Is(err, want) || !errors.Is(err, errno) {
			t.Error(err)
		}
	}
}

func TestLabelsThatForbidExecutionAreRefused(t *testing.T) {
	for label, ok := range map[string]bool{
		"system_u:object_r:var_lib_t:s0\x00": true, "system_u:object_r:bin_t:s0": true, "": false,
		"system_u:object_r:unlabeled_t:s0": false, "system_u:object_r:default_t:s0:c1,c2": false,
	} {
		if err := judgeLabel("/srv", label); (err == nil) != ok || err != nil && !errors.Is(err, ErrNotWritable) {
			t.Errorf("%q: %v", label, err)
		}
	}
}

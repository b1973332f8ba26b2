package release

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestEveryFormatBecomesTheSameRelease(t *testing.T) {
	w := newWorkshop(t)
	plain := packed(t, program("1.2.0"))
	folder := w.path("shop-folder")
	w.check(os.MkdirAll(folder, 0o755))
	unpack := exec.CommandContext(t.Context(), "tar", "-x", "-C", folder)
	unpack.Stdin = bytes.NewReader(plain)
	w.check(unpack.Run())
	var ids []string
	for format, artifact := range map[Format]string{
		FormatTar: w.write("shop.tar", plain), FormatTarGzip: w.write("shop.tgz", gzipped(t, plain)),
		FormatTarZstd: w.write("shop.tar.zst", zstandard(t, plain)), FormatDirectory: folder,
	} {
		w.sign(artifact, "1.2.0", noTime)
		s := store(t)
		var steps []Step
		r, err := s.Add(t.Context(), source(t, artifact), w.policy(), func(p Progress) {
			if !slices.Contains(steps, p.Step) {
				steps = append(steps, p.Step)
			}
			if p.Bytes > p.Total {
				t.Errorf("%s: %v", format, p)
			}
		})
		w.check(err)
		if r.Manifest.Artifact.Format != format || !strings.HasPrefix(r.ID, "1.2.0-") || !strings.HasPrefix(r.Signer, "ci.key ") || r.Source != artifact {
			t.Errorf("%s: %+v", format, r)
		}
		if len(steps) == 0 || steps[len(steps)-1] != Unpacking {
			t.Errorf("%s: progress %v", format, steps)
		}
		out, err := exec.CommandContext(t.Context(), r.Command()).Output()
		if err != nil || string(out) != "1.2.0\n" {
			t.Errorf("%s: the program says %q, %v", format, out, err)
		}
		for name, mode := range map[string]os.FileMode{"bin/shop": 0o555, "bin/shop-again": 0o555, "etc/shop.yaml": 0o444, "etc/default.yaml": 0o444, "bin": os.ModeDir | 0o755} {
			if info, err := os.Stat(filepath.Join(r.Dir, name)); err != nil || info.Mode() != mode {
				t.Errorf("%s: %s: %v, %v", format, name, info.Mode(), err)
			}
		}
		w.check(s.Verify(t.Context(), r.ID))
		if left, err := os.ReadDir(s.path(stagingDir)); err != nil || len(left) > 0 {
			t.Errorf("%s: staging has %v, %v", format, left, err)
		}
		ids = append(ids, r.ID)
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
		t.Errorf("IDs %q", ids)
	}
}

func TestProgramAloneIsARelease(t *testing.T) {
	w := newWorkshop(t)
	self, err := os.Executable()
	w.check(err)
	text, err := os.ReadFile(self)
	w.check(err)
	artifact := w.sign(w.write("server", text), "2.0.0-rc.1+build.7", noTime)
	r := w.added(store(t), artifact)
	if r.Command() != filepath.Join(r.Dir, "shop") || r.Manifest.Build == nil || !strings.HasPrefix(r.Manifest.Build.Go, "go1.") {
		t.Errorf("command %s, build %+v", r.Command(), r.Manifest.Build)
	}
}

func TestAddingTwiceChangesNothing(t *testing.T) {
	w := newWorkshop(t)
	s, r := w.serving()
	before := snapshot(t, s.dir)
	again := w.added(s, w.path("shop-1.1.0.tar.gz"))
	if again.ID != r.ID || !again.Added.Equal(r.Added) || snapshot(t, s.dir) != before {
		t.Errorf("%+v after %+v", again, r)
	}
}

func TestReleasesAddedAtOnceAreAddedOnce(t *testing.T) {
	w := newWorkshop(t)
	s := store(t)
	src := source(t, w.signed("1.2.0"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := s.Add(t.Context(), src, w.policy(), nil); err != nil {
				t.Error(err)
			}
			if err := s.Recover(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if rs, err := s.List(); err != nil || len(rs) != 1 {
		t.Errorf("%v, %v", rs, err)
	}
}

func TestDamagedReleaseIsReplacedWhileItIsCurrent(t *testing.T) {
	w := newWorkshop(t)
	s, r := w.serving()
	w.check(os.Chmod(r.Command(), 0o755))
	w.check(os.WriteFile(r.Command(), []byte("rot"), 0o755))
	again := w.added(s, w.path("shop-1.1.0.tar.gz"))
	if again.ID != r.ID {
		t.Errorf("added as %s", again.ID)
	}
	w.check(s.Verify(t.Context(), r.ID))
	if c, ok, err := s.Current(); err != nil || !ok || c.ID != r.ID {
		t.Errorf("current %v, %v, %v", c.ID, ok, err)
	}
}

func TestUnsignedIsTakenWhenThePolicySaysSo(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.write("shop.tar", packed(t, program("1.2.0")))
	_, err := Sign(t.Context(), artifact, Description{Name: "shop", Version: "1.2.0"}, nil)
	w.check(err)
	r, err := store(t).Add(t.Context(), source(t, artifact), Policy{AllowUnsigned: true}, nil)
	if err != nil || r.Signer != "" {
		t.Errorf("%q, %v", r.Signer, err)
	}
}

func TestSignRefusesWhatAHostWouldRefuse(t *testing.T) {
	w := newWorkshop(t)
	for name, h := range hostile {
		artifact := w.write("bad.tar", packed(t, append(program("1.2.0"), h...)))
		if _, err := Sign(t.Context(), artifact, Description{Name: "shop", Version: "1.2.0"}, &w.key); err == nil {
			t.Errorf("%s was signed", name)
		}
	}
	artifact := w.write("none.tar", packed(t, []tar.Header{{Name: "readme", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("none")}}))
	if _, err := Sign(t.Context(), artifact, Description{Name: "shop", Version: "1.2.0"}, &w.key); err == nil || !strings.Contains(err.Error(), "executable") {
		t.Errorf("an artifact without a program: %v", err)
	}
}

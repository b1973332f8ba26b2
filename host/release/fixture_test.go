package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/klauspost/compress/zstd"
)

// workshop makes artifacts of the service "shop", and signs them.
type workshop struct {
	t    *testing.T
	dir  string
	key  PrivateKey
	keys KeyRing
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	w := &workshop{t: t, dir: t.TempDir()}
	_, err := GenerateKey(w.path("ci.key"), "")
	w.check(err)
	w.key, err = LoadPrivateKey(w.path("ci.key"), nil)
	w.check(err)
	w.keys, err = LoadKeys(w.path("ci.key.pub"))
	w.check(err)
	return w
}

func (w *workshop) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *workshop) path(name string) string { return filepath.Join(w.dir, name) }

// policy trusts the workshop's key.
func (w *workshop) policy() Policy { return Policy{Keys: w.keys} }

// program is what every release has.
func program(version string) []tar.Header {
	return []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o777},
		{Name: "./bin/shop", Typeflag: tar.TypeReg, Mode: 0o4755, PAXRecords: body("#!/bin/sh\necho " + version + "\n")},
		{Name: "./etc/shop.yaml", Typeflag: tar.TypeReg, Mode: 0o664, PAXRecords: body("version: " + version + "\n")},
		{Name: "./etc/default.yaml", Typeflag: tar.TypeSymlink, Linkname: "shop.yaml"},
		{Name: "./bin/shop-again", Typeflag: tar.TypeLink, Linkname: "./bin/shop"},
	}
}

// body carries the content of an entry of packed.
func body(text string) map[string]string { return map[string]string{"body": text} }

// packed makes a tar archive.
func packed(t testing.TB, headers []tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		text := h.PAXRecords["body"]
		h.PAXRecords = nil
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(text))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(text); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, text []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(text, nil)
}

// signed writes an artifact of that version and signs it, and returns its path.
func (w *workshop) signed(version string) string {
	w.t.Helper()
	return w.sign(w.write("shop-"+version+".tar.gz", gzipped(w.t, packed(w.t, program(version)))), version, time.Time{})
}

func (w *workshop) write(name string, text []byte) string {
	w.t.Helper()
	w.check(os.WriteFile(w.path(name), text, 0o644))
	return w.path(name)
}

func (w *workshop) sign(artifact, version string, expires time.Time) string {
	w.t.Helper()
	_, err := Sign(w.t.Context(), artifact, Description{Name: "shop", Version: version, Expires: expires}, &w.key)
	w.check(err)
	return artifact
}

// forge signs a manifest that Sign would not make.
func (w *workshop) forge(artifact string, change func(*Manifest)) {
	w.t.Helper()
	text, err := os.ReadFile(artifact + ManifestSuffix)
	w.check(err)
	m, err := DecodeManifest(text)
	w.check(err)
	change(&m)
	m.Digest = m.Identity()
	text, err = m.Encode()
	w.check(err)
	w.check(os.WriteFile(artifact+ManifestSuffix, text, 0o644))
	w.check(os.WriteFile(artifact+SignatureSuffix, sign(w.key, text, m), 0o644))
}

// falsify signs a manifest of an archive that Sign refuses: it promises a good program, and has the archive's digest.
func (w *workshop) falsify(version string, archive []byte) string {
	w.t.Helper()
	artifact := w.signed(version)
	w.write(filepath.Base(artifact), archive)
	f, err := os.Open(artifact)
	w.check(err)
	defer f.Close()
	a, err := describeArtifact(f)
	w.check(err)
	w.forge(artifact, func(m *Manifest) { m.Artifact = a })
	return artifact
}

func source(t *testing.T, text string) Source {
	t.Helper()
	s, err := ParseSource(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func store(t *testing.T) *Store {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "shop"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// added adds a release that must be good.
func (w *workshop) added(s *Store, artifact string) Release {
	w.t.Helper()
	r, err := s.Add(w.t.Context(), source(w.t, artifact), w.policy(), nil)
	w.check(err)
	return r
}

// serving is a store with a current and committed release 1.1.0.
func (w *workshop) serving() (*Store, Release) {
	w.t.Helper()
	s := store(w.t)
	r := w.added(s, w.signed("1.1.0"))
	w.check(s.Activate(r.ID))
	w.check(s.Commit(r.ID))
	return s, r
}

// snapshot describes everything below a directory.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		line := name + " " + info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %s %x", info.ModTime(), text)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			line += " " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// strangers is a ring with another key.
func strangers(t *testing.T) KeyRing {
	t.Helper()
	public, _, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return KeyRing{[]trusted{{"stranger", public}}}
}

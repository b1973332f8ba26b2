package release

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// layOut writes what a registry has as an OCI image layout.
func (r *hub) layOut(t *testing.T, dir string, tags ...string) {
	t.Helper()
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	files := map[string][]byte{ocispec.ImageLayoutFile: []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	blob := func(text []byte) digest.Digest {
		d := digest.FromBytes(text)
		files[filepath.Join("blobs", d.Algorithm().String(), d.Encoded())] = text
		return d
	}
	blob(ocispec.DescriptorEmptyJSON.Data)
	for _, text := range r.blobs {
		blob(text)
	}
	for _, tag := range tags {
		text := r.manifests[tag]
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: blob(text), Size: int64(len(text)), Annotations: map[string]string{ocispec.AnnotationRefName: tag},
		})
	}
	text, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	files[ocispec.ImageIndexFile] = text
	for name, text := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), text, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReleaseIsAddedFromAnImageLayout(t *testing.T) {
	w := newWorkshop(t)
	r := &hub{manifests: map[string][]byte{}, blobs: map[string][]byte{}}
	r.push(t, w.large("1.2.0"), "1.2.0", ArtifactType)
	r.push(t, w.path("large.tar"), "image", "application/vnd.example")
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	r.layOut(t, one, "1.2.0")
	r.layOut(t, two, "1.2.0", "image")
	s := store(t)
	byDigest := "@" + digest.FromBytes(r.manifests["1.2.0"]).String()
	for _, place := range []string{one, one + ":1.2.0", one + byDigest, two + ":1.2.0", two + byDigest} {
		got, err := s.Add(t.Context(), source(t, "oci-layout:"+place), w.policy(), nil)
		w.check(err)
		if got.Manifest.Version != "1.2.0" || !strings.HasPrefix(got.Source, "oci-layout:"+one) {
			t.Errorf("%s from %s", got.ID, got.Source)
		}
	}
	before := snapshot(t, s.dir)
	for place, want := range map[string]error{two: ErrManifest, two + ":image": ErrManifest, one + ":missing": nil, one + "-missing:1.2.0": nil, t.TempDir(): nil} {
		if _, err := s.Add(t.Context(), source(t, "oci-layout:"+place), w.policy(), nil); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", place, err)
		}
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(r.manifests["1.2.0"], &m); err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Layers { // a layout that lies
		path := filepath.Join(one, "blobs", "sha256", l.Digest.Encoded())
		text, err := os.ReadFile(path)
		w.check(err)
		text[0] ^= 1
		w.check(os.WriteFile(path, text, 0o644))
		if _, err := store(t).Add(t.Context(), source(t, "oci-layout:"+one), w.policy(), nil); !errors.Is(err, ErrRefused) {
			t.Errorf("%s flipped: %v", l.MediaType, err)
		}
		text[0] ^= 1
		w.check(os.WriteFile(path, text, 0o644))
	}
	if snapshot(t, s.dir) != before {
		t.Error("the store has changed")
	}
	if _, err := ParseSource("oci-layout:"); err == nil {
		t.Error("a layout that lies nowhere is taken")
	}
}

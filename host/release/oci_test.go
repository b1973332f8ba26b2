package release

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// hub serves one repository, "shop", by the reading half of the distribution specification.
type hub struct {
	manifests map[string][]byte // by tag
	blobs     map[string][]byte // by digest
	breaks    atomic.Int32      // so many answers with a blob of more than 4 KiB end halfway
	ranges    atomic.Int32      // that were asked for
}

func (r *hub) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, ref, _ := strings.Cut(q.URL.Path, "/v2/shop/")
	kind, name, _ := strings.Cut(ref, "/")
	text, ok := r.manifests[name], false
	if kind == "blobs" {
		text, ok = r.blobs[name]
	} else if ok = text != nil; ok {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
	}
	if !ok {
		http.NotFound(w, q)
		return
	}
	if kind == "manifests" {
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(text).String())
	}
	if q.Header.Get("Range") != "" {
		r.ranges.Add(1)
	}
	if len(text) > 4096 && r.breaks.Add(-1) >= 0 {
		http.ServeContent(&breaking{ResponseWriter: w, left: len(text) / 2}, q, "", noTime, strings.NewReader(string(text)))
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, q, "", noTime, strings.NewReader(string(text)))
}

// push puts an artifact and what lies beside it into the registry.
func (r *hub) push(t *testing.T, artifact, tag, artifactType string) {
	t.Helper()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		ArtifactType: artifactType, Config: ocispec.DescriptorEmptyJSON,
	}
	for suffix, mediaType := range map[string]string{"": MediaTypeArtifact, ManifestSuffix: MediaTypeManifest, SignatureSuffix: MediaTypeSignature} {
		text, err := os.ReadFile(artifact + suffix)
		if err != nil {
			t.Fatal(err)
		}
		d := digest.FromBytes(text)
		r.blobs[d.String()] = text
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(text))})
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	r.manifests[tag] = text
	r.manifests[digest.FromBytes(text).String()] = text
}

func TestReleaseIsAddedFromARegistry(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	w := newWorkshop(t)
	r := &hub{manifests: map[string][]byte{}, blobs: map[string][]byte{}}
	server := httptest.NewServer(r)
	defer server.Close()
	place := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/shop"
	r.push(t, w.large("1.2.0"), "1.2.0", ArtifactType)
	byDigest := digest.FromBytes(r.manifests["1.2.0"])

	r.breaks.Store(1)
	s := store(t)
	one, err := s.Add(t.Context(), source(t, place+":1.2.0"), w.policy(), nil)
	w.check(err)
	if r.ranges.Load() == 0 {
		t.Error("what broke off was not gone on with")
	}
	two, err := s.Add(t.Context(), source(t, place+"@"+byDigest.String()), w.policy(), nil)
	w.check(err)
	if one.ID != two.ID || one.Manifest.Version != "1.2.0" || one.Source != place+":1.2.0" {
		t.Errorf("%s from %s, then %s", one.ID, one.Source, two.ID)
	}

	r.push(t, w.path("large.tar"), "image", "application/vnd.example")
	before := snapshot(t, s.dir)
	for tag, want := range map[string]error{"image": ErrManifest, "missing": nil} {
		if _, err := s.Add(t.Context(), source(t, place+":"+tag), w.policy(), nil); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", tag, err)
		}
	}
	for d, text := range r.blobs { // a registry that lies
		r.blobs[d] = append([]byte{text[0] ^ 1}, text[1:]...)
	}
	if _, err := store(t).Add(t.Context(), source(t, place+":1.2.0"), w.policy(), nil); !errors.Is(err, ErrRefused) {
		t.Errorf("flipped: %v", err)
	}
	if snapshot(t, s.dir) != before {
		t.Error("the store has changed")
	}
}

package release

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content/oci"
)

// layoutScheme is of an OCI image layout: a directory that has what a registry has, for hosts that reach none.
const layoutScheme = "oci-layout"

// parseLayout reads PATH, PATH:TAG or PATH@sha256:DIGEST. The path is absolute then.
func parseLayout(text string) (place string, err error) {
	dir, reference := splitLayout(text)
	if dir == "" {
		return "", fmt.Errorf("give %s:PATH, with :TAG or @sha256:DIGEST at its end", layoutScheme)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", err
	}
	return dir + reference, nil
}

// splitLayout cuts a place into the directory, and :TAG or @DIGEST, which may be absent.
func splitLayout(place string) (dir, reference string) {
	name := strings.LastIndexByte(place, '/') + 1
	if i := strings.IndexByte(place[name:], '@'); i >= 0 {
		return place[:name+i], place[name+i:]
	}
	if i := strings.LastIndexByte(place[name:], ':'); i >= 0 {
		return place[:name+i], place[name+i:]
	}
	return place, ""
}

// fetchLayout reads a release from an OCI image layout.
func fetchLayout(ctx context.Context, place string) (artifact, error) {
	dir, reference := splitLayout(place)
	a := artifact{close: func() {}}
	layout, err := oci.NewFromFS(ctx, files(dir))
	if err != nil {
		return a, fmt.Errorf("open OCI image layout: %w", err)
	}
	var descriptor ocispec.Descriptor
	if reference == "" {
		descriptor, err = only(dir)
	} else {
		descriptor, err = layout.Resolve(ctx, reference[1:])
	}
	if err != nil {
		return a, err
	}
	r, err := layout.Fetch(ctx, descriptor)
	if err != nil {
		return a, err
	}
	defer r.Close()
	return a, a.read(ctx, descriptor, r, layout)
}

// only is the one artifact that a layout has.
func only(dir string) (ocispec.Descriptor, error) {
	var index ocispec.Index
	text, err := readSmall(filepath.Join(dir, ocispec.ImageIndexFile), maxIndex)
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%w: index of the OCI image layout: %w", ErrManifest, err)
	}
	if n := len(index.Manifests); n != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("%w: the OCI image layout has %d artifacts: say which, by :TAG or @sha256:DIGEST at the end", ErrManifest, n)
	}
	return index.Manifests[0], nil
}

package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
)

// Media types of a release in a registry, or a layout: one artifact with three layers, of which the signature may be absent.
const (
	ArtifactType       = "application/vnd.handover.release.v1"
	MediaTypeArtifact  = "application/vnd.handover.release.artifact.v1"
	MediaTypeManifest  = "application/vnd.handover.release.manifest.v1+json"
	MediaTypeSignature = "application/vnd.handover.release.signature.v1"
)

// maxIndex is the size of the largest manifest of a registry, in bytes. The distribution specification has registries take at least 4 MiB.
const maxIndex = 4 << 20

// blob is an artifact in a registry, or a layout.
type blob struct {
	blobs content.Fetcher
	layer ocispec.Descriptor
}

func fetchOCI(ctx context.Context, place string) (artifact, error) {
	repository, err := remote.NewRepository(place)
	if err != nil {
		return artifact{}, err
	}
	client := newClient()
	a := artifact{close: client.CloseIdleConnections}
	repository.Client = authorized(client)
	repository.PlainHTTP = loopback(repository.Reference.Host())
	repository.MaxMetadataBytes = maxIndex
	err = again(ctx, smallTimeout, func(ctx context.Context) (bool, error) {
		descriptor, r, err := repository.Manifests().FetchReference(ctx, repository.Reference.Reference)
		if err != nil {
			return false, lasting(err)
		}
		defer r.Close()
		return false, lasting(a.read(ctx, descriptor, r, repository.Blobs()))
	})
	if err != nil {
		a.close()
	}
	return a, err
}

// authorized signs in with what docker login or podman login left for this user.
func authorized(client *http.Client) *auth.Client {
	c := &auth.Client{Client: client, Cache: auth.NewCache()}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil { // else as anybody
		c.Credential = credentials.Credential(store)
	}
	return c
}

// loopback tells registries of this host, which need no TLS.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// read finds the layers that a manifest of OCI names, and reads the small ones.
func (a *artifact) read(ctx context.Context, descriptor ocispec.Descriptor, r io.Reader, blobs content.Fetcher) error {
	var index ocispec.Manifest
	text, err := verified(r, descriptor, maxIndex)
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if err != nil {
		return fmt.Errorf("%w: of the artifact of OCI: %w", ErrManifest, err)
	}
	if index.ArtifactType != ArtifactType {
		return fmt.Errorf("%w: an artifact of type %q lies there, not of %q", ErrManifest, index.ArtifactType, ArtifactType)
	}
	for _, l := range index.Layers {
		switch l.MediaType {
		case MediaTypeArtifact:
			a.payload = &blob{blobs, l}
		case MediaTypeManifest:
			a.manifest, err = layer(ctx, blobs, l, maxManifest)
		case MediaTypeSignature:
			a.signature, err = layer(ctx, blobs, l, maxKeyFile)
		}
		if err != nil {
			return err
		}
	}
	if a.payload == nil || a.manifest == nil {
		return fmt.Errorf("%w: no layers of types %s and %s lie there", ErrManifest, MediaTypeArtifact, MediaTypeManifest)
	}
	return nil
}

func layer(ctx context.Context, blobs content.Fetcher, d ocispec.Descriptor, max int64) ([]byte, error) {
	r, err := blobs.Fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return verified(r, d, max)
}

// verified reads what a descriptor describes.
func verified(r io.Reader, d ocispec.Descriptor, max int64) ([]byte, error) {
	text, err := readAtMost(r, max, d.MediaType)
	if err != nil {
		return nil, err
	}
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%w: digest %q there: %v", ErrDigest, d.Digest, err)
	}
	if d.Digest.Algorithm().FromBytes(text) != d.Digest {
		return nil, fmt.Errorf("%w: the %s there is not what its digest says", ErrDigest, d.MediaType)
	}
	return text, nil
}

// open reads on at offset, if the registry serves ranges. A blob is named by its digest, so it is the same.
func (b *blob) open(ctx context.Context, offset int64) (io.ReadCloser, int64, error) {
	r, err := b.blobs.Fetch(ctx, b.layer)
	if err != nil {
		return nil, 0, lasting(err)
	}
	s, ok := r.(io.Seeker)
	if !ok || offset == 0 {
		return r, 0, nil
	}
	if _, err := s.Seek(offset, io.SeekStart); err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	return r, offset, nil
}

// lasting marks what the registry, or the disk, will answer again.
func lasting(err error) error {
	answer, local := (*errcode.ErrorResponse)(nil), (*fs.PathError)(nil)
	if errors.Is(err, errdef.ErrNotFound) || errors.As(err, &local) || errors.As(err, &answer) && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		return final{err}
	}
	return err
}

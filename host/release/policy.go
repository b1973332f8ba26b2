package release

import (
	"cmp"
	"fmt"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Policy says what may be added. Its zero value takes nothing, as it trusts no key.
type Policy struct {
	Name          string // of the service that the release must be of; empty: any
	Keys          KeyRing
	AllowUnsigned bool      // take what has no signature. One that is bad is refused all the same
	AllowOlder    bool      // take a version below the last committed one
	Now           time.Time // zero: the clock
	MaxSize       int64     // of all files unpacked, and of an archive, in bytes; 0: 4 GiB
	MaxFiles      int       // and links; 0: 100 000
	MaxRatio      int64     // of unpacked to packed, above 4 MiB; 0: 200
}

// Programs compress to a third or a quarter; what gzip can do at most is 1032 (RFC 1951: 258 bytes from two bits).
const (
	defaultMaxSize  = 4 << 30
	defaultMaxFiles = 100_000
	defaultMaxRatio = 200
	ratioFloor      = 4 << 20
)

func (p Policy) limits() limits {
	return limits{bytes: cmp.Or(p.MaxSize, defaultMaxSize), files: cmp.Or(p.MaxFiles, defaultMaxFiles)}
}

// signer holds the signature to the policy. It is asked before the manifest is even decoded. An empty signer has not signed.
func (p Policy) signer(manifest, signature []byte) (string, error) {
	switch {
	case signature == nil && p.AllowUnsigned:
		return "", nil
	case signature == nil:
		return "", fmt.Errorf("%w: there is none beside the manifest", ErrSignature)
	case p.Keys.Len() == 0 && p.AllowUnsigned:
		return "", nil
	}
	return p.Keys.verify(manifest, signature)
}

// accept holds a manifest to the policy. committed is the last committed version, empty if there is none.
func (p Policy) accept(m Manifest, committed string) error {
	now := p.Now
	if now.IsZero() {
		now = time.Now()
	}
	switch {
	case p.Name != "" && m.Name != p.Name:
		return fmt.Errorf("%w: it is a release of %q, not of %q", ErrManifest, m.Name, p.Name)
	case !m.Expires.IsZero() && now.After(m.Expires):
		return fmt.Errorf("%w: on %s", ErrExpired, m.Expires.Format(time.RFC3339))
	}
	if committed != "" && !p.AllowOlder {
		older, err := less(m.Version, committed)
		if err != nil {
			return err
		}
		if older {
			return fmt.Errorf("%w: %s comes before %s", ErrOlder, m.Version, committed)
		}
	}
	return p.size(m)
}

// size holds what a manifest promises to the limits; the unpacker holds the artifact to the manifest.
func (p Policy) size(m Manifest) error {
	l, ratio := p.limits(), cmp.Or(p.MaxRatio, defaultMaxRatio)
	switch {
	case len(m.Files) > l.files:
		return fmt.Errorf("%w: %d files, the policy allows %d", ErrTooLarge, len(m.Files), l.files)
	case m.UnpackedSize > l.bytes || m.Artifact.Size > l.bytes:
		return fmt.Errorf("%w: %d bytes, unpacked %d, the policy allows %d", ErrTooLarge, m.Artifact.Size, m.UnpackedSize, l.bytes)
	case m.Artifact.Format != FormatDirectory && m.UnpackedSize > ratioFloor && m.UnpackedSize/ratio > m.Artifact.Size:
		return fmt.Errorf("%w: %d bytes unpack to %d, more than %d times as many", ErrTooLarge, m.Artifact.Size, m.UnpackedSize, ratio)
	}
	return nil
}

// less compares two semantic versions.
func less(a, b string) (bool, error) {
	va, err := semver.StrictNewVersion(a)
	if err != nil {
		return false, fmt.Errorf("compare versions: %q: %w", a, err)
	}
	vb, err := semver.StrictNewVersion(b)
	if err != nil {
		return false, fmt.Errorf("compare versions: %q: %w", b, err)
	}
	return va.LessThan(vb), nil
}

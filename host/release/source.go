package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"oras.land/oras-go/v2/registry"
)

// Source is where an artifact lies.
type Source struct {
	scheme string // file, http, https, oci or oci-layout
	place  string // absolute path, with :TAG of a layout, URL, or HOST/REPOSITORY:TAG
	SHA256 string // that the artifact must have, in hexadecimal digits; of a directory its manifest's digest. Empty: any
}

// pin begins the digest of a source.
const pin = "#sha256="

// ParseSource reads a path, an http:// or https:// URL, oci://HOST/REPOSITORY:TAG (or @sha256:DIGEST), or oci-layout:PATH:TAG (or @sha256:DIGEST, or
// neither if it has one artifact). "#sha256=DIGEST" at the end says which artifact it must be.
func ParseSource(text string) (Source, error) {
	s := Source{scheme: "file", place: text}
	if before, digest, ok := strings.Cut(text, pin); ok {
		if !digestSyntax.MatchString(digest) {
			return s, fmt.Errorf("parse source %q: give 64 hexadecimal digits after %s", masked(text), pin)
		}
		s.place, s.SHA256 = before, digest
	}
	if s.place == "" {
		return s, errors.New("parse source: it is empty: give a path, an http(s) URL, oci://HOST/REPOSITORY:TAG or oci-layout:PATH:TAG")
	}
	if layout, ok := strings.CutPrefix(s.place, layoutScheme+":"); ok {
		var err error
		if s.place, err = parseLayout(layout); err != nil {
			return s, fmt.Errorf("parse source %q: %w", text, err)
		}
		s.scheme = layoutScheme
		return s, nil
	}
	scheme, rest, ok := strings.Cut(s.place, "://")
	if !ok {
		var err error
		s.place, err = filepath.Abs(s.place)
		return s, err
	}
	switch s.scheme = scheme; scheme {
	case "http", "https":
		if u, err := url.Parse(s.place); err != nil || u.Host == "" || u.Fragment != "" {
			return s, fmt.Errorf("parse source %q: it is no URL of an artifact", masked(text))
		}
	case "oci":
		ref, err := registry.ParseReference(rest)
		if err != nil || ref.Reference == "" {
			return s, fmt.Errorf("parse source %q: give oci://HOST/REPOSITORY:TAG or oci://HOST/REPOSITORY@sha256:DIGEST", text)
		}
		s.place = rest
	default:
		return s, fmt.Errorf("parse source %q: scheme %q: give a path, http, https, oci or oci-layout", masked(text), scheme)
	}
	return s, nil
}

// String is the source without a password.
func (s Source) String() string {
	switch s.scheme {
	case "oci":
		return "oci://" + s.place
	case layoutScheme:
		return layoutScheme + ":" + s.place
	}
	return masked(s.place)
}

// masked hides the password and the query, which may hold a token, of what may be a URL.
func masked(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	if err != nil {
		return "URL that cannot be read"
	}
	if u.RawQuery != "" {
		u.RawQuery = "…"
	}
	return u.Redacted()
}

// artifact is what a source has, before anything of it is trusted.
type artifact struct {
	manifest  []byte
	signature []byte  // nil: it has none
	payload   payload // the artifact itself; nil of a directory
	folder    string  // path of a directory, else empty
	close     func()
}

// payload is the bytes of an artifact that is a file. One conversation may break off, and be gone on with by the next.
type payload interface {
	// open begins to read at offset, or where at says: 0 if it cannot be told that it is still the same artifact. The reader ends with io.EOF
	// at the artifact's end, and with another error where the conversation broke off. The caller closes it.
	open(ctx context.Context, offset int64) (r io.ReadCloser, at int64, err error)
}

// fetch asks the source for manifest and signature. The caller closes the artifact.
func (s Source) fetch(ctx context.Context) (artifact, error) {
	switch s.scheme {
	case "file":
		return fetchLocal(s.place)
	case "oci":
		return fetchOCI(ctx, s.place)
	case layoutScheme:
		return fetchLayout(ctx, s.place)
	default:
		return fetchWeb(ctx, s.place)
	}
}

// local is an artifact that is a file of this host.
type local string

func fetchLocal(file string) (artifact, error) {
	a := artifact{close: func() {}}
	info, err := os.Stat(file)
	if err != nil {
		return a, err
	}
	if a.manifest, err = readSmall(file+ManifestSuffix, maxManifest); errors.Is(err, os.ErrNotExist) {
		return a, fmt.Errorf(`%w: there is no %s beside it: "handover release sign" makes it`, ErrManifest, filepath.Base(file)+ManifestSuffix)
	} else if err != nil {
		return a, err
	}
	if a.signature, err = readSmall(file+SignatureSuffix, maxKeyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		return a, err
	}
	switch {
	case info.IsDir():
		a.folder = file
	case info.Mode().IsRegular():
		a.payload = local(file)
	default:
		return a, notRegular(file, info)
	}
	return a, nil
}

func (l local) open(_ context.Context, offset int64) (io.ReadCloser, int64, error) {
	f, err := openRegular(string(l))
	if err != nil {
		return nil, 0, final{err}
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, 0, errors.Join(final{err}, f.Close())
	}
	return f, offset, nil
}

// readSmall reads a regular file of at most max bytes.
func readSmall(file string, max int64) ([]byte, error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAtMost(f, max, file)
}

// readAtMost reads to the end, which must come within max bytes.
func readAtMost(r io.Reader, max int64, what string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, max+1))
	if err == nil && int64(len(text)) > max {
		err = fmt.Errorf("%w: %s has more than %d bytes", ErrTooLarge, what, max)
	}
	return text, err
}

package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Masterminds/semver/v3"
)

// Schema is the version of manifests that this package writes, and the newest that it reads.
const Schema = 1

// maxManifest is the size of the largest manifest, in bytes: that of some 100 000 files.
const maxManifest = 16 << 20

// Manifest says what a release is. It is signed as the bytes that it was written in.
type Manifest struct {
	Schema       int       `json:"schema"`
	Name         string    `json:"name"`          // of the service
	Version      string    `json:"version"`       // semantic version 2.0.0
	Digest       string    `json:"digest"`        // of name, version, command and files, however these are packed: see Identity
	Command      string    `json:"command"`       // path of the program within the release
	Artifact     Artifact  `json:"artifact"`      // as it is transported
	UnpackedSize int64     `json:"unpacked_size"` // bytes of all files
	Files        []File    `json:"files"`         // sorted by path. Directories are those that files need
	Build        *Build    `json:"build,omitempty"`
	Created      time.Time `json:"created"`
	Expires      time.Time `json:"expires,omitzero"` // not added any more after this. Zero: never
}

// Artifact is how a release is transported.
type Artifact struct {
	Format Format `json:"format"`
	Size   int64  `json:"size,omitempty"`   // bytes. Of a directory: 0
	SHA256 string `json:"sha256,omitempty"` // hexadecimal. Of a directory: empty
}

// File is a file or a symbolic link of a release.
type File struct {
	Path   string `json:"path"` // slashes, relative
	Mode   Mode   `json:"mode,omitempty"`
	Size   int64  `json:"size,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // hexadecimal
	Link   string `json:"link,omitempty"`   // target, relative, within the release. Else empty
}

// Build is what a Go program says of how it was built; other programs have none.
type Build struct {
	Go       string            `json:"go"`
	Path     string            `json:"path,omitempty"`
	Version  string            `json:"version,omitempty"`
	Settings map[string]string `json:"settings,omitempty"` // GOOS, GOARCH, vcs.revision, vcs.time, vcs.modified
}

// Mode is the permission bits of a file, in JSON a string of octal digits.
type Mode uint32

func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

func (m *Mode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 12)
	if err != nil {
		return fmt.Errorf("parse mode %q: give octal digits, as in 0555", text)
	}
	*m = Mode(n)
	return nil
}

// modeOf is what a release keeps of a file's mode: it gives nobody the rights of its owner or group, and nobody writes it.
func modeOf(m fs.FileMode) Mode { return Mode(m.Perm() &^ 0o222) }

// Identity is the SHA-256, in hexadecimal digits, of the name, version, command and files as JSON. It does not depend on how the release
// is packed, nor on when it was signed.
func (m Manifest) Identity() string {
	text, err := json.Marshal(struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		Command string `json:"command"`
		Files   []File `json:"files"`
	}{m.Name, m.Version, m.Command, m.Files})
	if err != nil {
		panic(err) // strings and numbers can be written
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// ID names a release on disk: the version and the first twelve digits of the identity.
func (m Manifest) ID() string { return m.Version + "-" + m.Digest[:12] }

// Encode writes the manifest as it is signed.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(m)
	return b.Bytes(), err
}

// DecodeManifest reads and validates a manifest. Keys that it does not know are ignored. Errors wrap ErrManifest.
func DecodeManifest(text []byte) (Manifest, error) {
	var m Manifest
	if len(text) > maxManifest {
		return m, fmt.Errorf("%w: %d bytes, the largest is %d", ErrManifest, len(text), maxManifest)
	}
	var head struct{ Schema int }
	if err := json.Unmarshal(text, &head); err != nil {
		return m, fmt.Errorf("%w: %v", ErrManifest, err)
	}
	if head.Schema < 1 || head.Schema > Schema {
		return m, fmt.Errorf("%w: schema %d, this version of handover reads 1 to %d", ErrManifest, head.Schema, Schema)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: %v", ErrManifest, err)
	}
	return m, m.Validate()
}

var (
	nameSyntax   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	digestSyntax = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// maxVersion bounds a version's length: it becomes part of a file name.
const maxVersion = 128

// Validate checks everything that can be checked without the artifact. Errors wrap ErrManifest, or ErrUnsafe for a path.
func (m Manifest) Validate() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrManifest, fmt.Sprintf(format, a...))
	}
	switch {
	case m.Schema != Schema:
		return bad("schema %d, not %d", m.Schema, Schema)
	case !nameSyntax.MatchString(m.Name):
		return bad("name %q: give letters, digits, dots, hyphens and underscores, 64 at most", m.Name)
	case len(m.Version) > maxVersion:
		return bad("version has %d characters, the longest has %d", len(m.Version), maxVersion)
	case !m.Artifact.valid():
		return bad("artifact of format %q, %d bytes, digest %q", m.Artifact.Format, m.Artifact.Size, m.Artifact.SHA256)
	case m.Created.IsZero():
		return bad("it does not say when it was created")
	}
	if _, err := semver.StrictNewVersion(m.Version); err != nil {
		return bad("version %q is no semantic version, such as 1.2.0: %v", m.Version, err)
	}
	if err := m.validateFiles(); err != nil {
		return err
	}
	if i := slices.IndexFunc(m.Files, func(f File) bool { return f.Path == m.Command && f.Link == "" }); i < 0 || m.Files[i].Mode&0o100 == 0 {
		return bad("command %q is none of its executable files", m.Command)
	}
	if m.Digest != m.Identity() {
		return bad("digest %q, its content has %q", m.Digest, m.Identity())
	}
	return nil
}

func (a Artifact) valid() bool {
	if a.Format == FormatDirectory {
		return a.Size == 0 && a.SHA256 == ""
	}
	return slices.Contains(formats, a.Format) && a.Size >= 0 && digestSyntax.MatchString(a.SHA256)
}

// validateFiles holds the list to the rules that the unpacker holds an archive to.
func (m Manifest) validateFiles() error {
	var seen tree
	total, before := int64(0), ""
	for _, f := range m.Files {
		err := seen.add(f.Path, f.Link)
		switch {
		case err != nil:
			return err
		case f.Path <= before:
			return fmt.Errorf("%w: file %q does not come after %q", ErrManifest, f.Path, before)
		case f.Link != "" && (f.Mode != 0 || f.Size != 0 || f.SHA256 != ""):
			return fmt.Errorf("%w: link %q has mode, size or digest", ErrManifest, f.Path)
		case f.Link == "" && (f.Size < 0 || f.Mode != modeOf(fs.FileMode(f.Mode)) || !digestSyntax.MatchString(f.SHA256)):
			return fmt.Errorf("%w: file %q: mode %04o, %d bytes, digest %q", ErrManifest, f.Path, f.Mode, f.Size, f.SHA256)
		}
		before = f.Path
		if total += f.Size; total < 0 {
			return fmt.Errorf("%w: the sizes of the files overflow", ErrManifest)
		}
	}
	if total != m.UnpackedSize {
		return fmt.Errorf("%w: unpacked size %d, its files have %d", ErrManifest, m.UnpackedSize, total)
	}
	return nil
}

// difference says how files that were found differ from those that were promised; empty if they do not. Both are sorted.
func difference(promised, found []File) string {
	have := map[string]File{}
	for _, f := range found {
		have[f.Path] = f
	}
	var all []string
	for _, p := range promised {
		f, ok := have[p.Path]
		delete(have, p.Path)
		switch {
		case !ok:
			all = append(all, fmt.Sprintf("%q is missing", p.Path))
		case f.Link != p.Link:
			all = append(all, fmt.Sprintf("%q links to %q, not to %q", p.Path, f.Link, p.Link))
		case f.Size != p.Size:
			all = append(all, fmt.Sprintf("%q has %d bytes, not %d", p.Path, f.Size, p.Size))
		case f.SHA256 != p.SHA256:
			all = append(all, fmt.Sprintf("%q has digest %s, not %s", p.Path, brief(f.SHA256), brief(p.SHA256)))
		case f.Mode != p.Mode:
			all = append(all, fmt.Sprintf("%q has mode %04o, not %04o", p.Path, f.Mode, p.Mode))
		}
	}
	for _, f := range found {
		if _, extra := have[f.Path]; extra {
			all = append(all, fmt.Sprintf("%q was not promised", f.Path))
		}
	}
	if len(all) > 3 {
		all = append(all[:3], fmt.Sprintf("and %d more", len(all)-3))
	}
	return strings.Join(all, ", ")
}

// brief is a digest for people.
func brief(digest string) string { return digest[:min(len(digest), 12)] }

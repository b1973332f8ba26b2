package release

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"
	"github.com/google/renameio/v2"
)

// What lies beside an artifact, under its name with these added.
const (
	ManifestSuffix  = ".release.json"
	SignatureSuffix = ManifestSuffix + ".minisig"
)

// Description is what a manifest says that the artifact does not.
type Description struct {
	Name    string    // of the service
	Version string    // semantic version
	Command string    // path of the program within; empty: the name of the service, or bin/ and that, or the only executable file
	Created time.Time // zero: now
	Expires time.Time // zero: never
}

// Sign describes the artifact, a file, a directory or an archive, and writes its manifest and the manifest's signature beside it. Without a
// key there is no signature, and one that lay there is removed. It unpacks an archive in the temporary directory, and refuses what a host would refuse.
func Sign(ctx context.Context, artifact string, d Description, key *PrivateKey) (Manifest, error) {
	m, err := describe(ctx, artifact, d)
	if err != nil {
		return m, fmt.Errorf("describe %q: %w", artifact, err)
	}
	text, err := m.Encode()
	if err != nil {
		return m, fmt.Errorf("describe %q: %w", artifact, err)
	}
	artifact = filepath.Clean(artifact) // a directory may have been given with a slash
	if err := os.Remove(artifact + SignatureSuffix); err != nil && !os.IsNotExist(err) {
		return m, fmt.Errorf("remove the signature before: %w", err)
	}
	if err := renameio.WriteFile(artifact+ManifestSuffix, text, 0o644); err != nil {
		return m, fmt.Errorf("write manifest: %w", err)
	}
	if key == nil {
		return m, nil
	}
	if err := renameio.WriteFile(artifact+SignatureSuffix, sign(*key, text, m), 0o644); err != nil {
		return m, fmt.Errorf("write signature: %w", err)
	}
	return m, nil
}

// sign makes a signature of a manifest, of the hashed kind that minisign makes itself.
func sign(key PrivateKey, text []byte, m Manifest) []byte {
	r := minisign.NewReader(strings.NewReader(string(text)))
	_, _ = io.Copy(io.Discard, r) // a string is read without an error
	comment := fmt.Sprintf("timestamp:%d\t%s %s", m.Created.Unix(), m.Name, m.ID())
	return r.SignWithComments(key, comment, "signature of a release by "+keyID(key.ID()))
}

// describe makes the manifest of an artifact, by unpacking it.
func describe(ctx context.Context, artifact string, d Description) (Manifest, error) {
	m := Manifest{Schema: Schema, Name: d.Name, Version: d.Version, Command: d.Command, Created: d.Created, Expires: d.Expires}
	if m.Created.IsZero() {
		m.Created = time.Now()
	}
	m.Created, m.Expires = m.Created.UTC().Truncate(time.Second), m.Expires.UTC().Truncate(time.Second)
	f, err := os.OpenFile(artifact, unwaiting, 0)
	if err != nil {
		return m, err
	}
	defer f.Close()
	if m.Artifact, err = describeArtifact(f); err != nil {
		return m, err
	}
	scratch, err := os.MkdirTemp("", "handover-sign-*")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(scratch)
	root, err := os.OpenRoot(scratch)
	if err != nil {
		return m, err
	}
	defer root.Close()
	var p Policy
	u := unpacker{root: root, disk: disk{scratch: true}, limits: p.limits()}
	if m.Files, err = u.unpackFrom(ctx, m.Artifact.Format, m.Name, f); err != nil {
		return m, err
	}
	m.UnpackedSize = u.bytes
	if err := p.size(m); err != nil {
		return m, err
	}
	if m.Command == "" {
		m.Command = commandOf(m)
	}
	m.Digest = m.Identity()
	m.Build = buildOf(filepath.Join(scratch, m.Command))
	return m, nil
}

// describeArtifact tells an artifact's format, size and digest.
func describeArtifact(f *os.File) (Artifact, error) {
	var a Artifact
	var err error
	if a.Format, err = detect(f); err != nil || a.Format == FormatDirectory {
		return a, err
	}
	hash := sha256.New()
	if a.Size, err = io.Copy(hash, f); err != nil {
		return a, err
	}
	a.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return a, nil
}

// commandOf finds the command of a release that does not name it; empty if it cannot be told.
func commandOf(m Manifest) string {
	only, executables := "", 0
	for _, f := range m.Files {
		if f.Mode&0o100 == 0 {
			continue
		}
		if f.Path == m.Name || f.Path == "bin/"+m.Name {
			return f.Path
		}
		only = f.Path
		executables++
	}
	if executables == 1 {
		return only
	}
	return ""
}

// buildOf reads what a Go program says of itself; nil if it is none.
func buildOf(file string) *Build {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil
	}
	b := Build{Go: info.GoVersion, Path: info.Path, Version: info.Main.Version}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "vcs.revision", "vcs.time", "vcs.modified":
			if b.Settings == nil {
				b.Settings = map[string]string{}
			}
			b.Settings[s.Key] = s.Value
		}
	}
	return &b
}

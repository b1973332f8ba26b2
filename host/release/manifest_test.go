package release

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func sound() Manifest {
	sum := strings.Repeat("ab", 32)
	m := Manifest{
		Schema: Schema, Name: "shop", Version: "1.2.0", Command: "bin/shop", Created: time.Unix(1e9, 0).UTC(), UnpackedSize: 7,
		Artifact: Artifact{Format: FormatTar, Size: 10240, SHA256: sum},
		Files:    []File{{Path: "bin/shop", Mode: 0o555, Size: 3, SHA256: sum}, {Path: "etc/shop.yaml", Mode: 0o444, Size: 4, SHA256: sum}, {Path: "latest", Link: "bin/shop"}},
	}
	m.Digest = m.Identity()
	return m
}

func TestManifestsThatContradictThemselvesAreRefused(t *testing.T) {
	if err := sound().Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Manifest){
		"schema":              func(m *Manifest) { m.Schema = 2 },
		"name":                func(m *Manifest) { m.Name = "../shop" },
		"no version":          func(m *Manifest) { m.Version = "" },
		"version of two":      func(m *Manifest) { m.Version = "1.2" },
		"version with a v":    func(m *Manifest) { m.Version = "v1.2.0" },
		"version with a path": func(m *Manifest) { m.Version = "1.2.0+../x" },
		"long version":        func(m *Manifest) { m.Version += "-" + strings.Repeat("x", 200) },
		"format":              func(m *Manifest) { m.Artifact.Format = "zip" },
		"artifact's digest":   func(m *Manifest) { m.Artifact.SHA256 = "ab" },
		"artifact's size":     func(m *Manifest) { m.Artifact.Size = -1 },
		"directory's size":    func(m *Manifest) { m.Artifact.Format = FormatDirectory },
		"created":             func(m *Manifest) { m.Created = time.Time{} },
		"no command":          func(m *Manifest) { m.Command = "" },
		"command is data":     func(m *Manifest) { m.Command = "etc/shop.yaml" },
		"command is a link":   func(m *Manifest) { m.Command = "latest" },
		"command is missing":  func(m *Manifest) { m.Command = "bin/other" },
		"unpacked size":       func(m *Manifest) { m.UnpackedSize++ },
		"negative size":       func(m *Manifest) { m.Files[0].Size, m.Files[1].Size = -1, 8 },
		"overflow":            func(m *Manifest) { m.Files[0].Size, m.Files[1].Size = 1<<63-1, 1<<63-1 },
		"writable":            func(m *Manifest) { m.Files[0].Mode = 0o755 },
		"set-user-ID":         func(m *Manifest) { m.Files[0].Mode = 0o4555 },
		"digest of a file":    func(m *Manifest) { m.Files[0].SHA256 = strings.ToUpper(m.Files[0].SHA256) },
		"not sorted":          func(m *Manifest) { m.Files[0], m.Files[1] = m.Files[1], m.Files[0] },
		"twice":               func(m *Manifest) { m.Files[1] = m.Files[0] },
		"path out":            func(m *Manifest) { m.Files[2].Path = "../x" },
		"link out":            func(m *Manifest) { m.Files[2].Link = "../x" },
		"link with a mode":    func(m *Manifest) { m.Files[2].Mode = 0o444 },
	} {
		m := sound()
		change(&m)
		m.Digest = m.Identity()
		if err := m.Validate(); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := sound()
	m.Digest = strings.Repeat("0", 64)
	if err := m.Validate(); !errors.Is(err, ErrManifest) {
		t.Errorf("digest: %v", err)
	}
}

func TestManifestOfALaterSchemaIsToldAsSuch(t *testing.T) {
	if _, err := DecodeManifest([]byte(`{"schema":2,"files":"otherwise"}`)); !errors.Is(err, ErrManifest) || !strings.Contains(err.Error(), "schema 2") {
		t.Error(err)
	}
}

func TestKeysOfAManifestThatAreNotKnownAreIgnored(t *testing.T) {
	text, err := sound().Encode()
	if err != nil {
		t.Fatal(err)
	}
	m, err := DecodeManifest([]byte(strings.Replace(string(text), "{", `{"later":[1],`, 1)))
	if err != nil || m.ID() != sound().ID() {
		t.Errorf("%s, %v", m.ID(), err)
	}
}

package builds

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/handover-go/handover/keeper/preflight"
)

const (
	recordName    = "build.json"
	recordVersion = 1

	// maxRecord is far above what a record can have.
	maxRecord = 64 << 10
)

// record is what is stored of a build beside its executable. A record that is missing, damaged, or of a version to come costs
// what it says, and not the build: the digest is the directory's name, and the executable the other file in it.
type record struct {
	Version    int               `json:"version"`
	Size       int64             `json:"size"`
	Origin     string            `json:"origin"`
	Time       time.Time         `json:"time"`
	Go         preflight.GoBuild `json:"go"`
	Privileged bool              `json:"privileged,omitempty"`
}

func writeRecord(dir string, b Build) error {
	text, err := json.MarshalIndent(record{
		Version: recordVersion, Size: b.Size, Origin: b.Origin, Time: b.Time, Go: b.Go, Privileged: b.Privileged,
	}, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, recordName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncDir(dir)
}

// loadBuild returns what is known of the build of a digest. Without a Path, it is damaged.
func loadBuild(store, digest string) Build {
	b := Build{Digest: digest}
	dir := filepath.Join(store, digest)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return b
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && entry.Name() != recordName && info.Mode().IsRegular() {
			b.Path, b.Size, b.Time = filepath.Join(dir, entry.Name()), info.Size(), info.ModTime().UTC()
		}
	}
	r, err := readRecord(dir)
	if err != nil {
		return b
	}
	if r.Size != b.Size {
		b.Path = ""
	}
	b.Size, b.Origin, b.Time, b.Go, b.Privileged = r.Size, r.Origin, r.Time, r.Go, r.Privileged
	return b
}

func readRecord(dir string) (record, error) {
	f, err := os.Open(filepath.Join(dir, recordName))
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	return decodeRecord(f)
}

func decodeRecord(from io.Reader) (r record, err error) {
	if err := json.NewDecoder(io.LimitReader(from, maxRecord)).Decode(&r); err != nil {
		return record{}, fmt.Errorf("read a record: %w", err)
	}
	if r.Version > recordVersion || r.Version < 1 {
		return record{}, fmt.Errorf("a record of version %d: this build knows %d", r.Version, recordVersion)
	}
	return r, nil
}

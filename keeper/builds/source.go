package builds

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/handover-go/handover/internal/platform"
)

// ErrChanged: the file was changed while it was read, so that it is neither what it was nor what it is to become.
var ErrChanged = errors.New("it changed while it was read: wait until it is written, or rename it into its place once it is")

// source is the file that a build is made from.
type source struct {
	file   *os.File
	info   fs.FileInfo
	origin string
}

func openSource(path string) (*source, error) {
	f, err := platform.OpenRegular(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &source{file: f, info: info, origin: originOf(path)}, nil
}

func (s *source) close() { _ = s.file.Close() }

// unchanged is to be asked when all has been read.
func (s *source) unchanged() error {
	now, err := s.file.Stat()
	if err != nil {
		return err
	}
	if now.Size() != s.info.Size() || !now.ModTime().Equal(s.info.ModTime()) {
		return ErrChanged
	}
	return nil
}

func (s *source) privileged() bool {
	if s.info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		return true
	}
	capabilities, _ := platform.FileCapabilities(s.file) // what cannot be read is nothing that one could rely on
	return len(capabilities) > 0
}

// originOf resolves links, those of /proc/PID/exe too, which name a file that may have been deleted.
func originOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	} else if target, err := os.Readlink(path); err == nil && filepath.IsAbs(target) {
		path = strings.TrimSuffix(target, " (deleted)")
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func keepErr(path string, err error) error { return fmt.Errorf("keep build %q: %w", path, err) }

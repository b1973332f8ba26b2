package builds

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/keeper/preflight"
)

// Put keeps a copy of the executable at path, which may be /proc/PID/exe, and returns it when it is on stable storage. A build
// that is kept already is read, and replaced if it is corrupt. Beyond the bounds, those that were put longest ago and are
// not protected are removed; none before Keep was called. An error that is ErrUnusable is the store's (or that of copying into it), any
// other the file's; it leaves nothing behind.
func (s *Store) Put(path string) (Build, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	src, err := openSource(path)
	if err != nil {
		return Build{}, keepErr(path, err)
	}
	defer src.close()
	if size := src.info.Size(); size > s.config.Bytes {
		return Build{}, keepErr(path, fmt.Errorf("it has %d bytes, and the store is bounded to %d: raise the bound", size, s.config.Bytes))
	}
	stage, err := os.MkdirTemp(s.dir, stagePrefix)
	if err != nil {
		return Build{}, keepErr(path, unusable(err))
	}
	defer os.RemoveAll(stage)
	b, err := s.copyInto(stage, src)
	if err == nil {
		b, err = s.settleLocked(stage, b)
	}
	if err != nil {
		return Build{}, keepErr(path, err)
	}
	// A build that cannot be removed now is tried again with the next one; that this one is kept is what was asked for.
	_ = s.pruneLocked(b.Digest)
	return b, nil
}

// copyInto writes the build's directory as it is to be. Its Path is what that will be.
func (s *Store) copyInto(stage string, src *source) (Build, error) {
	name := executableName(src.origin)
	digest, size, err := copyExecutable(filepath.Join(stage, name), src)
	if err != nil {
		return Build{}, err
	}
	b := Build{
		Digest: digest, Size: size, Origin: src.origin, Time: time.Now().UTC(),
		Path: filepath.Join(s.dir, digest, name), Privileged: src.privileged(),
	}
	b.Go, _ = preflight.ReadGoBuild(src.file, size) // not every program has it
	if err := writeRecord(stage, b); err != nil {
		return Build{}, unusable(err)
	}
	return b, nil
}

// settleLocked gives the staged build its name, unless an intact one has it; that one gets the newer record.
func (s *Store) settleLocked(stage string, b Build) (Build, error) {
	final := filepath.Join(s.dir, b.Digest)
	if old, kept := s.builds[b.Digest]; kept {
		if old.Path != "" && old.Verify() == nil {
			b.Path = old.Path
			if err := os.Rename(filepath.Join(stage, recordName), filepath.Join(final, recordName)); err != nil {
				return Build{}, unusable(err)
			}
			s.builds[b.Digest] = b
			if err := syncDir(final); err != nil {
				return Build{}, unusable(err)
			}
			return b, nil
		}
		if err := s.removeLocked(b.Digest); err != nil {
			return Build{}, unusable(err)
		}
	}
	if err := os.Rename(stage, final); err != nil {
		return Build{}, unusable(err)
	}
	s.builds[b.Digest] = b
	if err := syncDir(s.dir); err != nil {
		return Build{}, unusable(err)
	}
	return b, nil
}

// copyExecutable copies and syncs. The digest is that of the copy, read back, so that the kernel is free to copy by sharing
// blocks (copy_file_range(2)), and what it copied is what is vouched for.
func copyExecutable(path string, src *source) (digest string, size int64, err error) {
	dst, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", 0, unusable(err)
	}
	n, err := io.Copy(dst, io.LimitReader(src.file, src.info.Size()))
	if err == nil {
		err = errors.Join(dst.Chmod(0o500), dst.Sync())
	}
	if err := errors.Join(err, platform.CloseWritten(dst)); err != nil {
		return "", 0, unusable(err)
	}
	if n != src.info.Size() {
		return "", 0, ErrChanged
	}
	if err := src.unchanged(); err != nil {
		return "", 0, err
	}
	written, err := os.Open(path)
	if err != nil {
		return "", 0, unusable(err)
	}
	defer written.Close()
	if digest, size, err = digestOf(written, n); err != nil {
		return "", 0, unusable(err)
	}
	return digest, size, nil
}

// executableName is the origin's, so that the process is listed by it.
func executableName(origin string) string {
	name := filepath.Base(origin)
	if name == recordName || name == "." || name == string(filepath.Separator) {
		return "executable"
	}
	return name
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// staged is a directory in which a release is made. It is locked as long as somebody is at work there.
type staged struct {
	dir    string
	disk   disk
	unlock func()
}

// stage makes such a directory. The caller discards it.
func (s *Store) stage() (*staged, error) {
	unlock, err := s.lock() // else Recover could find it before it is locked
	if err != nil {
		return nil, err
	}
	defer unlock()
	st := &staged{disk: s.disk}
	if st.dir, err = os.MkdirTemp(s.path(stagingDir), "add-*"); err != nil {
		return nil, err
	}
	if st.unlock, err = tryLock(st.dir); err == nil {
		if err = os.Mkdir(st.tree(), 0o755); err == nil {
			return st, nil
		}
		st.unlock()
	}
	return nil, errors.Join(err, os.RemoveAll(st.dir))
}

// tree is what will be the release.
func (st *staged) tree() string { return filepath.Join(st.dir, "release") }

func (st *staged) discard() {
	_ = os.RemoveAll(st.dir) // what is left will be swept
	st.unlock()
}

// fill fetches and unpacks an artifact, and has it on disk when it returns.
func (st *staged) fill(ctx context.Context, a artifact, m Manifest, o origin, p Policy, progress func(Progress)) error {
	tell := func(step Step, total int64) func(int64) {
		if progress == nil {
			return nil
		}
		return func(bytes int64) { progress(Progress{step, bytes, total}) }
	}
	file, err := st.fetch(ctx, a, m, tell(Fetching, m.Artifact.Size))
	if err != nil {
		return err
	}
	defer file.Close()
	root, err := os.OpenRoot(st.tree())
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Chmod(".", 0o755); err != nil { // whatever the umask
		return err
	}
	o.Added = time.Now().UTC()
	if err := st.own(root, a, o); err != nil {
		return err
	}
	u := unpacker{root: root, disk: st.disk, limits: limits{bytes: m.UnpackedSize, files: p.limits().files}, report: tell(Unpacking, m.UnpackedSize)}
	found, err := u.unpackFrom(ctx, m.Artifact.Format, m.Name, file)
	if err != nil {
		return err
	}
	if d := difference(m.Files, found); d != "" {
		return fmt.Errorf("%w: %s", ErrDigest, d)
	}
	return nil
}

// fetch has the artifact as an open file, verified, or as an open directory. What was fetched has no name any more, so it is gone when it
// is closed.
func (st *staged) fetch(ctx context.Context, a artifact, m Manifest, report func(int64)) (*os.File, error) {
	if a.payload == nil {
		return os.OpenFile(a.folder, unwaiting, 0)
	}
	file, err := os.OpenFile(filepath.Join(st.dir, "artifact"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = os.Remove(file.Name())
	if err == nil {
		d := download{payload: a.payload, to: file, size: m.Artifact.Size, sum: m.Artifact.SHA256, report: report}
		err = d.run(ctx)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// own writes what a release keeps of its own.
func (st *staged) own(root *os.Root, a artifact, o origin) error {
	text, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	if err := root.Mkdir(ownDir, 0o755); err != nil {
		return err
	}
	if err := root.Chmod(ownDir, 0o755); err != nil {
		return err
	}
	files := map[string][]byte{ownManifest: a.manifest, ownOrigin: append(text, '\n')}
	if a.signature != nil {
		files[ownSignature] = a.signature
	}
	for name, text := range files {
		if err := st.write(root, filepath.Join(ownDir, name), text); err != nil {
			return err
		}
	}
	return nil
}

func (st *staged) write(root *os.Root, name string, text []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Chmod(0o444); err != nil {
		return err
	}
	if err := st.disk.syncFile(f); err != nil {
		return err
	}
	return f.Close()
}

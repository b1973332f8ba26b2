package release

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// limits bound what one artifact may take.
type limits struct {
	bytes int64 // of all files
	files int   // and directories and links
}

// unpacker writes the contents of an artifact into an empty directory. It writes through os.Root alone, so even what its own checks
// overlook stays within.
type unpacker struct {
	root   *os.Root
	disk   disk
	limits limits
	report func(bytes int64) // of what was written, in all; may be nil

	tree    tree
	found   map[string]File
	entries int
	bytes   int64
}

// unpack writes everything, and returns what it has written, sorted by path. Files can be read and executed as the artifact says, and
// written by nobody. Errors wrap ErrUnsafe, ErrTooLarge or ErrNoSpace where it is the artifact, or the disk, that is at fault.
func (u *unpacker) unpack(ctx context.Context, c contents) ([]File, error) {
	u.found = map[string]File{}
	for {
		e, err := c.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = u.take(ctx, e)
		}
		if err != nil {
			return nil, full(err)
		}
	}
	if err := u.linksLeadSomewhere(); err != nil {
		return nil, err
	}
	if err := u.disk.syncDirs(u.root); err != nil {
		return nil, full(fmt.Errorf("write the directories out: %w", err))
	}
	files := make([]File, 0, len(u.found))
	for _, f := range u.found {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, nil
}

// take writes one entry.
func (u *unpacker) take(ctx context.Context, e entry) error {
	if u.entries++; u.entries > u.limits.files {
		return fmt.Errorf("%w: more than %d files", ErrTooLarge, u.limits.files)
	}
	e.path = shortest(e.path)
	switch {
	case e.kind == directory && (e.path == "." || e.path == ""):
		return nil
	case e.kind == directory:
		return u.tree.addDir(e.path) // made when a file needs it
	}
	target := ""
	if e.kind == symlink {
		target = e.to
		if target == "" {
			return fmt.Errorf("%w: link %q leads nowhere", ErrUnsafe, e.path)
		}
	}
	if err := u.tree.add(e.path, target); err != nil {
		return err
	}
	if dir := path.Dir(e.path); dir != "." {
		if err := u.makeDir(dir); err != nil {
			return err
		}
	}
	switch {
	case e.kind == symlink:
		u.found[e.path] = File{Path: e.path, Link: target}
		return u.root.Symlink(target, e.path)
	case e.hard:
		return u.link(e)
	default:
		return u.write(ctx, e)
	}
}

// makeDir makes a directory and those above it. Its mode does not depend on the umask.
func (u *unpacker) makeDir(dir string) error {
	if _, err := u.root.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := path.Dir(dir); parent != "." {
		if err := u.makeDir(parent); err != nil {
			return err
		}
	}
	if err := u.root.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return u.root.Chmod(dir, 0o755)
}

// link gives a file a second name. In a manifest it is a file like any other.
func (u *unpacker) link(e entry) error {
	to := shortest(e.to)
	f, ok := u.found[to]
	if !ok || f.Link != "" {
		return fmt.Errorf("%w: %q is a hard link to %.128q, which is no file before it in the archive", ErrUnsafe, e.path, e.to)
	}
	// Both have one size on disk, but whoever copies the release may get two.
	if u.bytes += f.Size; u.bytes > u.limits.bytes {
		return u.tooLarge()
	}
	f.Path = e.path
	u.found[e.path] = f
	return u.root.Link(to, e.path)
}

// write writes a file and its digest.
func (u *unpacker) write(ctx context.Context, e entry) error {
	if e.size < 0 || e.size > u.limits.bytes-u.bytes {
		return u.tooLarge()
	}
	f, err := u.root.OpenFile(e.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	// One byte more tells a file that grows while it is copied.
	n, err := io.Copy(io.MultiWriter(f, hash, (*counter)(u)), io.LimitReader(until(ctx, e.body), e.size+1))
	switch {
	case ctx.Err() != nil: // which is no fault of the archive
		return ctx.Err()
	case err != nil:
		return asUnsafe(err)
	case n != e.size:
		return fmt.Errorf("%w: %q has not the %d bytes that its entry says", ErrDigest, e.path, e.size)
	}
	if err := f.Chmod(fs.FileMode(e.mode)); err != nil {
		return err
	}
	if err := u.disk.syncFile(f); err != nil {
		return err
	}
	u.found[e.path] = File{Path: e.path, Mode: e.mode, Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))}
	return f.Close()
}

func (u *unpacker) tooLarge() error {
	return fmt.Errorf("%w: it unpacks to more than %d bytes", ErrTooLarge, u.limits.bytes)
}

// linksLeadSomewhere has the kernel resolve every symbolic link, below the root.
func (u *unpacker) linksLeadSomewhere() error {
	for name, f := range u.found {
		if f.Link == "" {
			continue
		}
		if _, err := u.root.Stat(name); err != nil {
			return fmt.Errorf("%w: link %q to %.128q leads to nothing in the release", ErrUnsafe, name, f.Link)
		}
	}
	return nil
}

// counter counts what an unpacker writes.
type counter unpacker

func (c *counter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	if c.report != nil {
		c.report(c.bytes)
	}
	return len(p), nil
}

// unpackFrom unpacks an artifact of that format. f is the open artifact, whatever its offset; of a directory its name counts.
func (u *unpacker) unpackFrom(ctx context.Context, of Format, name string, f *os.File) ([]File, error) {
	if of == FormatDirectory {
		c, err := openFolder(f.Name(), u.limits.files, false)
		if err != nil {
			return nil, err
		}
		defer c.close()
		return u.unpack(ctx, c)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if of == FormatFile {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		return u.unpack(ctx, &plain{name: name, file: f, size: info.Size()})
	}
	a, err := openArchive(of, f)
	if err != nil {
		return nil, err
	}
	defer a.close()
	return u.unpack(ctx, a)
}

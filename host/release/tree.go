package release

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ownDir is what a release on disk has besides its files: its manifest, the signature, and where it came from.
const ownDir = ".handover"

// Limits on paths: PATH_MAX is 4096 with what leads to the release, NAME_MAX is 255 (limits.h).
const (
	maxPath  = 1024
	maxName  = 255
	maxDepth = 64
)

// tree is the paths of a release while they are collected. It takes a path only if a file can be written there without leaving the release,
// and without one path standing in the way of another. Its zero value is empty.
type tree struct {
	kinds map[string]kind
}

type kind uint8

const (
	directory kind = iota + 1
	regular
	symlink
)

// add takes the path of a file, or of a symbolic link if it has a target. Errors wrap ErrUnsafe.
func (t *tree) add(name, target string) error {
	if err := safePath(name); err != nil {
		return err
	}
	of := regular
	if target != "" {
		of = symlink
		if err := safeTarget(name, target); err != nil {
			return err
		}
	}
	return t.place(name, of)
}

// addDir takes the path of a directory, which may come more than once.
func (t *tree) addDir(name string) error {
	if err := safePath(name); err != nil {
		return err
	}
	return t.place(name, directory)
}

// place notes a path and all that lead to it. Since no link leads to any path, what is written at one is written there, whatever order
// the entries of an archive have.
func (t *tree) place(name string, of kind) error {
	if t.kinds == nil {
		t.kinds = map[string]kind{}
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if k, ok := t.kinds[dir]; ok && k != directory {
			return fmt.Errorf("%w: %q lies below %q, which is no directory", ErrUnsafe, name, dir)
		} else if ok {
			break // so are all above it
		}
		t.kinds[dir] = directory
	}
	if k, ok := t.kinds[name]; ok && (k != directory || of != directory) {
		return fmt.Errorf("%w: %q is there twice", ErrUnsafe, name)
	}
	t.kinds[name] = of
	return nil
}

// safePath refuses what is not the plain name of something within the release.
func safePath(name string) error {
	switch first, _, _ := strings.Cut(name, "/"); {
	case len(name) > maxPath:
		return fmt.Errorf("%w: a path has %d bytes, the longest may have %d: %.64q…", ErrUnsafe, len(name), maxPath, name)
	case name == "." || !filepath.IsLocal(name) || path.Clean(name) != name:
		return fmt.Errorf("%w: path %q leads out of the release, or is not in its shortest form", ErrUnsafe, name)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, `\`):
		return fmt.Errorf("%w: path %q has characters that are not shown, or a backslash", ErrUnsafe, name)
	case first == ownDir:
		return fmt.Errorf("%w: path %q: %s is where a release keeps its manifest", ErrUnsafe, name, ownDir)
	case strings.Count(name, "/") >= maxDepth:
		return fmt.Errorf("%w: path %.64q… is more than %d directories deep", ErrUnsafe, name, maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxName {
			return fmt.Errorf("%w: a name has %d bytes, the longest may have %d: %.64q…", ErrUnsafe, len(part), maxName, part)
		}
	}
	return nil
}

// safeTarget refuses the target of a link that leads out of the release. A clean target has every ".." at its beginning, where it goes up
// through directories and not through other links: so it leads where it reads.
func safeTarget(name, target string) error {
	to := path.Join(path.Dir(name), target)
	if path.IsAbs(target) || path.Clean(target) != target || !filepath.IsLocal(to) || len(target) > maxPath || strings.ContainsFunc(target, unicode.IsControl) || !utf8.ValidString(target) {
		return fmt.Errorf("%w: link %q to %.128q leads out of the release, or is not in its shortest form", ErrUnsafe, name, target)
	}
	return nil
}

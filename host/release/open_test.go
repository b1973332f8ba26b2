package release

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// atOnce is what an operation returns on a path at which a named pipe lies. One that waits for a writer fails the test, and is given one.
func atOnce(t *testing.T, pipe string, operation func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- operation() }()
	select {
	case err := <-done:
		return err
	case <-time.After(5 * time.Second):
		t.Errorf("%s is waited for", filepath.Base(pipe))
	}
	for {
		w, err := os.OpenFile(pipe, os.O_RDWR, 0) // which never waits (fifo(7))
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestPipeAtASourceIsRefusedAtOnce: an agent looks at a source by itself, and where others can write they may put a named pipe there. Guard:
// openRegular, by which all that a source has is opened: no context ends what waits within open(2).
func TestPipeAtASourceIsRefusedAtOnce(t *testing.T) {
	w := newWorkshop(t)
	artifact := w.signed("1.2.0")
	layout := filepath.Join(t.TempDir(), "layout")
	r := &hub{manifests: map[string][]byte{}, blobs: map[string][]byte{}}
	r.push(t, artifact, "1.2.0", ArtifactType)
	r.layOut(t, layout, "1.2.0")
	blobs, err := filepath.Glob(layout + "/blobs/sha256/*")
	w.check(err)
	pipes := map[string]string{
		artifact + ManifestSuffix: artifact, artifact + SignatureSuffix: artifact, filepath.Join(layout, "index.json"): "oci-layout:" + layout, filepath.Join(layout, "oci-layout"): "oci-layout:" + layout,
	}
	for _, blob := range blobs {
		pipes[blob] = "oci-layout:" + layout
	}
	refused := 0
	for pipe, place := range pipes {
		w.check(errors.Join(os.Rename(pipe, pipe+".away"), syscall.Mkfifo(pipe, 0o644)))
		s := store(t)
		peeked := atOnce(t, pipe, func() error { _, err := s.Peek(t.Context(), source(t, place), w.policy()); return err })
		added := atOnce(t, pipe, func() error { _, err := s.Add(t.Context(), source(t, place), w.policy(), nil); return err })
		if errors.Is(added, ErrUnsafe) {
			refused++
		} else if added != nil || peeked != nil { // nobody reads the blob that stands for no configuration
			t.Errorf("%s: looked at: %v; added: %v", filepath.Base(pipe), peeked, added)
		}
		w.check(os.Rename(pipe+".away", pipe))
	}
	if refused != len(pipes)-1 {
		t.Errorf("%d pipes were refused, of %d", refused, len(pipes))
	}
}

// TestPipeThatTakesAPlaceIsNotWaitedFor: what was a file or a directory when it was listed may be a pipe when it is opened. Guards: regularOnly,
// files, walked, and the path by which openFolder opens.
func TestPipeThatTakesAPlaceIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	root, err := os.OpenRoot(dir)
	if err = errors.Join(err, syscall.Mkfifo(pipe, 0o644)); err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, operation := range map[string]func() error{
		"a file":         func() error { _, err := regularOnly(os.OpenFile(pipe, unwaiting, 0)); return err },
		"a blob":         func() error { _, err := files(dir).Open("pipe"); return err },
		"a directory":    func() error { _, err := fs.ReadDir(walked{root}, "pipe"); return err },
		"the release":    func() error { _, err := openFolder(pipe, 10, false); return err },
		"what is signed": func() error { _, err := describe(t.Context(), pipe, Description{}); return err },
		"a payload":      func() error { _, _, err := local(pipe).open(t.Context(), 0); return err },
		"a small file":   func() error { _, err := readSmall(pipe, maxManifest); return err },
		"what is staged": func() error {
			f, err := (&staged{}).fetch(t.Context(), artifact{folder: pipe}, Manifest{}, nil)
			if err == nil {
				_, err = (&unpacker{}).unpackFrom(t.Context(), FormatDirectory, "shop", f)
				_ = f.Close()
			}
			return err
		},
	} {
		if err := atOnce(t, pipe, operation); err == nil {
			t.Errorf("%s: a pipe is taken for it", name)
		}
	}
}

// endingWithin is a context that ends when it was asked a few times whether it has.
type endingWithin struct {
	context.Context
	left int
}

func (c *endingWithin) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestVerificationEndsWithItsContextWithinAFile: an agent that is handed over waits for it. Guard: until, in inventory.
func TestVerificationEndsWithItsContextWithinAFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "large")
	if err := errors.Join(os.WriteFile(file, nil, 0o644), os.Truncate(file, 64<<20)); err != nil {
		t.Fatal(err)
	}
	if all, err := inventory(&endingWithin{t.Context(), 10}, dir, 10); !errors.Is(err, context.Canceled) {
		t.Errorf("%d files, %v", len(all), err)
	}
}

// TestUnpackingEndsWithItsContextWithinAFile: and so that it is not taken for a fault of the archive. Guard: until, in unpacker.write.
func TestUnpackingEndsWithItsContextWithinAFile(t *testing.T) {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const size = 64 << 20
	read := 0
	body := reader(func(p []byte) (int, error) {
		cancel()
		read += len(p)
		return len(p), nil
	})
	u := unpacker{root: root, disk: disk{scratch: true}, limits: limits{bytes: size, files: 10}}
	_, err = u.unpack(ctx, &single{entry{path: "large", kind: regular, mode: 0o444, size: size, body: body}})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrRefused) || read > 1<<20 {
		t.Errorf("%d bytes were read: %v", read, err)
	}
}

// single is an archive with one entry.
type single struct{ entry }

func (s *single) next() (entry, error) {
	e := s.entry
	if e.path == "" {
		return e, io.EOF
	}
	s.entry = entry{}
	return e, nil
}

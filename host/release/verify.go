package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// Verify reads every file of a release, and compares it with the manifest. Errors wrap ErrDamaged, or ErrNotFound.
func (s *Store) Verify(ctx context.Context, id string) error {
	r, err := s.load(id)
	if err == nil {
		err = s.verify(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("verify release: %w", err)
	}
	return nil
}

func (s *Store) verify(ctx context.Context, r Release) error {
	found, err := inventory(ctx, r.Dir, len(r.Manifest.Files)+1)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("release %q is %w: %v", r.ID, ErrDamaged, err)
	}
	if d := difference(r.Manifest.Files, found); d != "" {
		return fmt.Errorf("release %q is %w: %s", r.ID, ErrDamaged, d)
	}
	return nil
}

// inventory describes what lies in a release's directory, besides its own.
func inventory(ctx context.Context, dir string, max int) ([]File, error) {
	c, err := openFolder(dir, max, true)
	if err != nil {
		return nil, err
	}
	defer c.close()
	var files []File
	for {
		e, err := c.next()
		switch {
		case errors.Is(err, io.EOF):
			return files, nil
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case e.kind == symlink:
			files = append(files, File{Path: e.path, Link: e.to})
			continue
		}
		hash := sha256.New()
		n, err := io.Copy(hash, until(ctx, e.body))
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: e.path, Mode: e.mode, Size: n, SHA256: hex.EncodeToString(hash.Sum(nil))})
	}
}

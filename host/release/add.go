package release

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Progress tells how far an addition is.
type Progress struct {
	Step  Step
	Bytes int64 // that are done
	Total int64
}

// Step is what is being done.
type Step string

const (
	Fetching  Step = "fetching"
	Unpacking Step = "unpacking"
)

// Add fetches an artifact, holds it to the policy, and unpacks it. It does not make it the current one. Adding what is there already
// does nothing; what is there and damaged is replaced. What fails leaves nothing behind but the store's own empty directories. progress may be nil; it is called
// on the goroutine of Add.
//
// Errors that wrap ErrRefused, by one of its children, say that the artifact or the host is not fit.
func (s *Store) Add(ctx context.Context, src Source, p Policy, progress func(Progress)) (Release, error) {
	r, err := s.add(ctx, src, p, progress)
	if err != nil {
		return Release{}, fmt.Errorf("add release from %s: %w", src, full(err))
	}
	return r, nil
}

func (s *Store) add(ctx context.Context, src Source, p Policy, progress func(Progress)) (Release, error) {
	if err := s.fit(); err != nil {
		return Release{}, err
	}
	a, err := src.fetch(ctx)
	if err != nil {
		return Release{}, err
	}
	defer a.close()
	m, signer, err := s.promise(src, a, p)
	if err != nil {
		return Release{}, err
	}
	o := origin{Schema: Schema, Source: src.String(), Signer: signer}
	if r, err := s.load(m.ID()); err == nil && s.verify(ctx, r) == nil {
		return r, nil
	}
	if err := s.enough(nearest(s.dir), roomFor(m)); err != nil {
		return Release{}, err
	}
	if err := s.makeDirs(); err != nil {
		return Release{}, err
	}
	st, err := s.stage()
	if err != nil {
		return Release{}, err
	}
	defer st.discard()
	if err := st.fill(ctx, a, m, o, p, progress); err != nil {
		return Release{}, err
	}
	r, err := s.publish(st, m, p, s.disk.rename)
	if !errors.Is(err, fs.ErrExist) {
		return r, err
	}
	if s.verify(ctx, r) == nil {
		return r, nil // somebody else has added it
	}
	return s.publish(st, m, p, s.disk.exchange) // it may be the current one, so it is never missing
}

// Peek fetches the manifest of an artifact alone, and holds it to the policy: what Add would take in.
func (s *Store) Peek(ctx context.Context, src Source, p Policy) (Manifest, error) {
	a, err := src.fetch(ctx)
	if err != nil {
		return Manifest{}, fmt.Errorf("look at release from %s: %w", src, full(err))
	}
	defer a.close()
	m, _, err := s.promise(src, a, p)
	if err != nil {
		return Manifest{}, fmt.Errorf("look at release from %s: %w", src, full(err))
	}
	return m, nil
}

// promise is the manifest of an artifact, held to the policy, and who has signed it.
func (s *Store) promise(src Source, a artifact, p Policy) (m Manifest, signer string, err error) {
	if signer, err = p.signer(a.manifest, a.signature); err != nil {
		return m, signer, err
	}
	m, err = DecodeManifest(a.manifest)
	if err == nil {
		err = promised(src, a, m)
	}
	if err == nil {
		err = s.accept(p, m)
	}
	return m, signer, err
}

// fit judges the directories that will be written to.
func (s *Store) fit() error {
	if err := fit(s.dir); err != nil {
		return err
	}
	for _, name := range []string{releasesDir, stagingDir} {
		if _, err := os.Lstat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := fit(s.path(name)); err != nil {
			return err
		}
	}
	return nil
}

// promised makes sure that the artifact is of the kind that its manifest says, and the one that was asked for.
func promised(src Source, a artifact, m Manifest) error {
	digest := m.Artifact.SHA256
	if m.Artifact.Format == FormatDirectory {
		digest = m.Digest
	}
	switch {
	case (a.payload == nil) != (m.Artifact.Format == FormatDirectory):
		return fmt.Errorf("%w: it describes an artifact of format %q, not what lies there", ErrManifest, m.Artifact.Format)
	case src.SHA256 != "" && src.SHA256 != digest:
		return fmt.Errorf("%w: SHA-256 %s… was asked for, the manifest says %s…", ErrDigest, brief(src.SHA256), brief(digest))
	}
	return nil
}

func (s *Store) accept(p Policy, m Manifest) error {
	committed, err := s.Committed()
	if err != nil {
		return err
	}
	return p.accept(m, committed)
}

// publish makes what is staged a release, in one step, which is a rename or, where there is one already, an exchange. The version is
// judged once more: another may have been committed meanwhile.
func (s *Store) publish(st *staged, m Manifest, p Policy, in func(from, to string) error) (Release, error) {
	unlock, err := s.lock()
	if err != nil {
		return Release{}, err
	}
	defer unlock()
	if err := s.accept(p, m); err != nil {
		return Release{}, err
	}
	r := Release{ID: m.ID(), Dir: s.path(releasesDir, m.ID()), Manifest: m}
	if err := in(st.tree(), r.Dir); err != nil { // a rename never replaces a directory that has something in it (rename(2))
		return r, err
	}
	if err := s.disk.syncDir(s.path(releasesDir)); err != nil {
		return Release{}, err
	}
	return s.load(r.ID)
}

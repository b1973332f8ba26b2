package release

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"
)

// PrivateKey signs manifests.
type PrivateKey = minisign.PrivateKey

// maxKeyFile is the size of the largest key or signature file, in bytes. Minisign's own have some 300.
const maxKeyFile = 4 << 10

// KeyRing is the public keys that a host trusts. Its zero value is empty and trusts nobody.
type KeyRing struct{ keys []trusted }

// trusted is a public key and the name of its file, by which people know it.
type trusted struct {
	name string
	key  minisign.PublicKey
}

// LoadKeys reads public keys of minisign: each path is a file, or a directory whose files *.pub are taken. A directory that is missing
// is an error, as is a file that others than its owner can write: they could trust whom they like.
func LoadKeys(paths ...string) (KeyRing, error) {
	var ring KeyRing
	for _, p := range paths {
		files := []string{p}
		if info, err := os.Stat(p); err != nil {
			return KeyRing{}, fmt.Errorf("load keys: %w", err)
		} else if info.IsDir() {
			if err := ownersOnly(p, info); err != nil {
				return KeyRing{}, err
			}
			if files, err = filepath.Glob(filepath.Join(escapeGlob(p), "*.pub")); err != nil {
				return KeyRing{}, fmt.Errorf("load keys: %w", err)
			}
		}
		for _, f := range files {
			key, err := loadKey(f)
			if err != nil {
				return KeyRing{}, err
			}
			ring.keys = append(ring.keys, key)
		}
	}
	return ring, nil
}

func loadKey(file string) (trusted, error) {
	info, err := os.Stat(file)
	if err != nil {
		return trusted{}, fmt.Errorf("load key: %w", err)
	}
	if err := ownersOnly(file, info); err != nil {
		return trusted{}, err
	}
	k := trusted{name: strings.TrimSuffix(filepath.Base(file), ".pub")}
	if k.key, err = minisign.PublicKeyFromFile(file); err != nil {
		return trusted{}, fmt.Errorf("load key %q: %w", file, err)
	}
	return k, nil
}

func ownersOnly(file string, info fs.FileInfo) error {
	if m := info.Mode().Perm(); m&0o022 != 0 {
		return fmt.Errorf("load key %q: mode %04o lets others write it: chmod go-w", file, m)
	}
	return nil
}

// escapeGlob keeps filepath.Glob from reading a path as a pattern.
func escapeGlob(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// Len is the number of keys.
func (r KeyRing) Len() int { return len(r.keys) }

// verify says whose signature of the message this is. Errors wrap ErrSignature.
func (r KeyRing) verify(message, signature []byte) (signer string, err error) {
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return "", fmt.Errorf("%w: it cannot be read: %v", ErrSignature, err)
	}
	// Base64 has several spellings for the same bytes; minisign writes one of them.
	if text, err := s.MarshalText(); err != nil || strings.TrimRight(string(text), "\n") != strings.TrimRight(string(signature), "\n") {
		return "", fmt.Errorf("%w: it is not written as minisign writes it", ErrSignature)
	}
	known := false
	for _, k := range r.keys {
		if minisign.Verify(k.key, message, signature) {
			return fmt.Sprintf("%s %s", k.name, keyID(k.key.ID())), nil
		}
		known = known || k.key.ID() == s.KeyID
	}
	switch {
	case known:
		return "", fmt.Errorf("%w: the manifest, or its signature, was changed after key %s had signed it", ErrSignature, keyID(s.KeyID))
	case len(r.keys) == 0:
		return "", fmt.Errorf("%w: this host trusts no key", ErrSignature)
	}
	return "", fmt.Errorf("%w: it is of key %s, which is none of the %d that are trusted", ErrSignature, keyID(s.KeyID), len(r.keys))
}

// keyID is a key's number as minisign shows it.
func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// GenerateKey makes a pair of keys and writes the private one to file, with mode 0600, and the public one to file.pub. Neither may exist. An
// empty passphrase leaves the private key as it is, else it is encrypted, which takes 1 GiB of memory for some seconds. It returns the
// public key's number.
func GenerateKey(file, passphrase string) (id string, err error) {
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		return "", fmt.Errorf("generate key: %w", err)
	}
	secret, err := private.MarshalText()
	if err == nil && passphrase != "" {
		secret, err = minisign.EncryptKey(passphrase, private)
	}
	if err != nil {
		return "", fmt.Errorf("generate key: %w", err)
	}
	open, err := public.MarshalText()
	if err != nil {
		return "", fmt.Errorf("generate key: %w", err)
	}
	if err := writeNew(file, append(secret, '\n'), 0o600); err != nil {
		return "", fmt.Errorf("write private key: %w", err)
	}
	if err := writeNew(file+".pub", append(open, '\n'), 0o644); err != nil {
		return "", fmt.Errorf("write public key: %w", errors.Join(err, os.Remove(file)))
	}
	return keyID(public.ID()), nil
}

// writeNew writes a file that did not exist, and has it on disk when it returns.
func writeNew(file string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	return nil
}

// LoadPrivateKey reads a private key of minisign. If it is encrypted, passphrase is asked for what it is encrypted with.
func LoadPrivateKey(file string, passphrase func() (string, error)) (PrivateKey, error) {
	var key PrivateKey
	text, err := os.ReadFile(file)
	if err != nil {
		return key, fmt.Errorf("load private key: %w", err)
	}
	if !minisign.IsEncrypted(text) {
		if err := key.UnmarshalText(text); err != nil {
			return key, fmt.Errorf("load private key %q: %w", file, err)
		}
		return key, nil
	}
	secret, err := passphrase()
	if err == nil {
		key, err = minisign.DecryptKey(secret, text)
	}
	if err != nil {
		return key, fmt.Errorf("load private key %q: %w", file, err)
	}
	return key, nil
}

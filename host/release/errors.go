package release

import "errors"

// ErrRefused is the parent of every error that says that an artifact, or the host, is not fit: errors.Is finds it for each of them.
// The host is as it was.
var ErrRefused = errors.New("refused")

// Why an artifact is refused.
var (
	// ErrManifest: it has no manifest, or one that cannot be understood, or is of another service.
	ErrManifest error = refusal("bad manifest")
	// ErrSignature: the manifest is not signed by any key of the ring.
	ErrSignature error = refusal("bad signature")
	// ErrDigest: bytes are not those that the manifest promises: flipped, missing, or too many.
	ErrDigest error = refusal("content differs from the manifest")
	// ErrOlder: its version is older than the last that was committed.
	ErrOlder error = refusal("older than the last committed version")
	// ErrExpired: its time is over.
	ErrExpired error = refusal("expired")
	// ErrUnsafe: a path or a link leads out of the tree, or an entry is neither file nor directory nor link.
	ErrUnsafe error = refusal("unsafe content")
	// ErrTooLarge: it is above a limit of the policy.
	ErrTooLarge error = refusal("too large")
)

// Why the host cannot take a release.
var (
	// ErrNoSpace: the disk, a quota or a limit of the process has no room for it.
	ErrNoSpace error = refusal("no space")
	// ErrNotWritable: the directory is read-only, belongs to somebody else, can be written by others, or what lies there could not be executed.
	ErrNotWritable error = refusal("directory not fit")
)

// What can be wrong with a store.
var (
	// ErrNotFound: no release has this name.
	ErrNotFound = errors.New("no such release")
	// ErrAmbiguous: several releases have this version, or begin like this.
	ErrAmbiguous = errors.New("several releases")
	// ErrDamaged: what lies on disk is not what was added.
	ErrDamaged = errors.New("damaged")
	// ErrBusy: another process holds the lock for too long.
	ErrBusy = errors.New("store is locked")
)

// refusal is a sentinel below ErrRefused.
type refusal string

func (r refusal) Error() string { return string(r) }

func (r refusal) Is(target error) bool { return target == ErrRefused }

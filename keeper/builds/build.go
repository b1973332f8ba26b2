package builds

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/handover-go/handover/keeper/preflight"
)

// ErrCorrupt: what is kept is not what was put.
var ErrCorrupt = errors.New("corrupt: it is not what was kept")

// Build is an executable that can be started whatever becomes of the file that it was made from.
type Build struct {
	Digest string // SHA-256 of its content, 64 lower-case hexadecimal digits
	Size   int64  // bytes
	Origin string // the absolute path that it was last put from
	Time   time.Time
	Go     preflight.GoBuild // zero if the file has no build information

	// Path is what to execute: the copy, which has the origin's file name, so that the process is listed by it; or for a
	// held build /proc/self/fd/N. It is valid in this process and in a child that this process starts.
	Path string

	// Privileged: the origin has set-id bits or file capabilities. A copy has neither, as only root could give them; a
	// held build has what the origin has. A service that needs them, to listen on port 80 say, is started held, or gets them
	// from its keeper (AmbientCapabilities= in systemd).
	Privileged bool

	held *os.File
}

// Held reports whether the build is an open file of this process and no copy: then it outlives the removal and the
// replacement of its name, but neither a change of its content in place nor the end of this process. The kernel refuses to
// change the content of a file while any process executes it; Verify tells whether it was changed afterwards.
func (b Build) Held() bool { return b.held != nil }

// Descriptor is that of a held build's open file. It is the build's.
func (b Build) Descriptor() (fd int, ok bool) {
	if b.held == nil {
		return -1, false
	}
	_, err := fmt.Sscanf(b.Path, heldPath, &fd)
	return fd, err == nil
}

// heldPath is the Path of a held build.
const heldPath = "/proc/self/fd/%d"

// Release closes the file of a held build; its Path leads nowhere from then on. All copies of the value share the file.
func (b Build) Release() error {
	if b.held == nil {
		return nil
	}
	return b.held.Close()
}

// Verify reads the whole build and answers ErrCorrupt if its content is not the one that Digest names.
func (b Build) Verify() error {
	f := b.held
	if f == nil {
		var err error
		if f, err = os.Open(b.Path); err != nil {
			return fmt.Errorf("verify build %s: %w", b.Digest, err)
		}
		defer f.Close()
	}
	digest, size, err := digestOf(f, b.Size)
	if err == nil && (digest != b.Digest || size != b.Size) {
		err = fmt.Errorf("%w: it has %d bytes and digest %s", ErrCorrupt, size, digest)
	}
	if err != nil {
		return fmt.Errorf("verify build %s at %q: %w", b.Digest, b.Path, err)
	}
	return nil
}

// digestOf reads a file from its beginning, no further than one byte beyond the size that it should have.
func digestOf(f *os.File, size int64) (string, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, io.NewSectionReader(f, 0, size+1))
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// isDigest reports whether name can be a digest, and so is safe as a part of a path.
func isDigest(name string) bool {
	if len(name) != hex.EncodedLen(sha256.Size) {
		return false
	}
	for _, c := range name {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

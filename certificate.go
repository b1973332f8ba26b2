package handover

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificateInterval is how often, at most, the files of a certificate are looked at. Nothing looks while nobody connects.
const certificateInterval = time.Second

// certificate is a pair of files, which is loaded again when another lies there: replaced, renamed over, or behind a symbolic
// link that was turned.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time
	pair              atomic.Pointer[tls.Certificate]

	mu     sync.Mutex // held by the one that looks; others take the pair as it is
	looked time.Time
	seen   [2]os.FileInfo // of the files when they were last loaded, or could not be
}

// loadCertificate loads the pair. Unlike later ones, the first has to be good.
func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: time.Now}
	c.looked, c.seen = c.now(), c.look()
	return c, c.load()
}

// current returns the pair for a handshake that begins now.
func (c *certificate) current() *tls.Certificate {
	if c.mu.TryLock() {
		c.reload()
		c.mu.Unlock()
	}
	return c.pair.Load()
}

// reload loads the files if they are others than before. A pair that is bad, or half written, is passed over until the files
// change again, as they do when the other half comes.
func (c *certificate) reload() {
	if c.now().Sub(c.looked) < certificateInterval {
		return
	}
	c.looked = c.now()
	found := c.look() // before they are read: what is written meanwhile makes them other files again
	if sameFile(found[0], c.seen[0]) && sameFile(found[1], c.seen[1]) {
		return
	}
	c.seen = found
	if err := c.load(); err != nil {
		c.log.Error("the certificate stays as it was", "cert", c.certFile, "key", c.keyFile, "error", err)
		return
	}
	c.log.Info("certificate loaded again", "cert", c.certFile, "key", c.keyFile, "not_after", c.pair.Load().Leaf.NotAfter)
}

// load takes the pair if both files can be read and belong together.
func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("load certificate: %w", err)
	}
	c.pair.Store(&pair)
	return nil
}

// look returns what lies where the files are expected; nil where nothing does.
func (c *certificate) look() (found [2]os.FileInfo) {
	for i, name := range []string{c.certFile, c.keyFile} {
		if info, err := os.Stat(name); err == nil {
			found[i] = info
		}
	}
	return found
}

// sameFile reports whether a and b are one file, with the same content as far as can be told without reading it.
func sameFile(a, b os.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

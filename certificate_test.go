package handover

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCertificateFollowsItsFiles however they are replaced; a pair that is not whole changes nothing.
func TestCertificateFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second, third := pairOf(t, "first"), pairOf(t, "second"), pairOf(t, "third")
	write(certFile, first.cert)
	write(keyFile, first.key)
	var log strings.Builder
	now := &clock{}
	c, err := loadCertificate(certFile, keyFile, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.now, c.looked = now.now, now.now()
	presents := func(name string, lines int) {
		t.Helper()
		now.pass(certificateInterval)
		for range 2 {
			if got := c.current().Leaf.DNSNames[0]; got != name {
				t.Errorf("presents the %s pair; want the %s", got, name)
			}
		}
		if got := strings.Count(log.String(), "\n"); got != lines {
			t.Errorf("%d lines are logged; want %d:\n%s", got, lines, &log)
		}
	}

	write(certFile, second.cert[:len(second.cert)/2])
	if got := c.current().Leaf.DNSNames[0]; got != "first" || log.Len() > 0 {
		t.Errorf("looked before it was time: presents %s\n%s", got, &log)
	}
	presents("first", 1)
	presents("first", 1)
	write(certFile, second.cert)
	presents("first", 2) // the key is of another
	write(keyFile, second.key)
	presents("second", 3)

	write(certFile+".new", third.cert)
	write(keyFile+".new", third.key)
	for _, name := range []string{certFile, keyFile} {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	presents("second", 4) // nothing is there
	for _, name := range []string{certFile, keyFile} {
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	presents("third", 5)
	presents("third", 5)
}

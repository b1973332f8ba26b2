//go:build debian

package systemd

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const (
	deploy  = "../../../deploy/"
	builder = deploy + "debian/build"
)

// pack makes a package of a program, and returns where it lies.
func pack(t *testing.T, version, program string, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, builder, version, "all", program, dir)
	cmd.Env = append(os.Environ(), append([]string{"SOURCE_DATE_EPOCH=1700000000", "DPKG_DEB_COMPRESSOR_TYPE=none"}, env...)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("pack: %v\n%s", err, said)
	}
	return filepath.Join(dir, "handover_"+version+"_all.deb")
}

// installPackage has dpkg install a version of the package, whose program is built as tests are.
func (m *machine) installPackage(version string) {
	m.t.Helper()
	m.copy(pack(m.t, version, static(m.t, command, "")), "/var/tmp/handover.deb", 0o644)
	m.t.Log(m.run("dpkg", "--install", "/var/tmp/handover.deb"))
	m.run("rm", "/var/tmp/handover.deb")
}

// installGarbage has dpkg install a package whose program is none, which must fail.
func (m *machine) installGarbage(version string) {
	m.t.Helper()
	program := filepath.Join(m.t.TempDir(), "handover")
	if err := os.WriteFile(program, []byte("no program"), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.copy(pack(m.t, version, program), "/var/tmp/handover.deb", 0o644)
	if code, said := m.begin("dpkg", "--install", "/var/tmp/handover.deb")(); code == 0 {
		m.t.Errorf("a package without a program is configured: %s", said)
	}
}

func TestPackageOfTheSameInputIsTheSame(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	one, err := os.ReadFile(pack(t, "1.0", program))
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(pack(t, "1.0", program, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "TMPDIR="+t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, other) {
		t.Error("two packages of the same input differ")
	}
}

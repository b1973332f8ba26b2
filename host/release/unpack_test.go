package release

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// unpackBytes unpacks an archive in a directory of its own, which is below one that must stay empty else.
func unpackBytes(t testing.TB, of Format, archive []byte, l limits) ([]File, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "around")
	for _, d := range []string{dir, filepath.Join(dir, "inside")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(filepath.Join(dir, "inside"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	a, err := openArchive(of, bytes.NewReader(archive))
	if err != nil {
		return nil, err
	}
	defer a.close()
	files, err := (&unpacker{root: root, disk: disk{scratch: true}, limits: l}).unpack(t.Context(), a)
	if around, readErr := os.ReadDir(dir); readErr != nil || len(around) != 1 {
		t.Fatalf("around the release there is %v, %v", around, readErr)
	}
	if err == nil {
		examine(t, root, files, l)
	}
	return files, err
}

// examine holds what was unpacked to what a release may be.
func examine(t testing.TB, root *os.Root, files []File, l limits) {
	t.Helper()
	again, err := inventory(t.Context(), root.Name(), l.files)
	if err != nil {
		t.Fatal(err)
	}
	if d := difference(files, again); d != "" {
		t.Fatalf("found differs from told: %s", d)
	}
	total := int64(0)
	err = filepath.WalkDir(root.Name(), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch m := info.Mode(); {
		case m&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky) != 0, m.IsRegular() && m.Perm()&0o222 != 0, m.IsDir() && name != root.Name() && m.Perm() != 0o755:
			t.Fatalf("%s has mode %v", name, m)
		case m&fs.ModeSymlink != 0:
			to, err := filepath.EvalSymlinks(name)
			if inside, relErr := filepath.Rel(root.Name(), to); err != nil || relErr != nil || !filepath.IsLocal(inside) {
				t.Fatalf("%s leads to %s, %v", name, to, err)
			}
		case !m.IsRegular() && !m.IsDir():
			t.Fatalf("%s is a %v", name, m)
		}
		if info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	if err != nil || total > l.bytes {
		t.Fatalf("%d bytes, %v", total, err)
	}
}

// FuzzUnpack asks that whatever an archive has, nothing is written outside, nothing above the limits, and nothing that is no plain file or
// link within; and that what was written is what was told.
func FuzzUnpack(f *testing.F) {
	f.Add(packed(f, program("1.0.0")))
	for _, h := range hostile {
		if len(h[0].Name) < 1000 {
			f.Add(packed(f, append(program("1.0.0"), h...)))
		}
	}
	f.Add(rawPax(map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes", "GNU.sparse.realsize": "100000"}, "1\n0\n1\n"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		_, _ = unpackBytes(t, FormatTar, archive, limits{bytes: 1 << 16, files: 64})
	})
}

// FuzzDecodeManifest asks that what is accepted is written and read again as the same, and is safe to unpack by.
func FuzzDecodeManifest(f *testing.F) {
	m := Manifest{
		Schema: Schema, Name: "shop", Version: "1.2.0", Command: "bin/shop", UnpackedSize: 3,
		Artifact: Artifact{Format: FormatDirectory},
		Files: []File{
			{Path: "bin/shop", Mode: 0o555, Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
			{Path: "latest", Link: "bin/shop"},
		},
	}
	m.Created = m.Created.AddDate(2025, 0, 0)
	m.Digest = m.Identity()
	good, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schema":2}`))
	f.Add([]byte(`{"schema":1,"files":[{"path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := DecodeManifest(text)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if !filepath.IsLocal(file.Path) {
				t.Fatalf("path %q", file.Path)
			}
		}
		if filepath.Base(m.ID()) != m.ID() || !idSyntax.MatchString(m.ID()) {
			t.Fatalf("ID %q", m.ID())
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if m2, err := DecodeManifest(again); err != nil || m2.ID() != m.ID() || difference(m.Files, m2.Files) != "" {
			t.Fatalf("read again: %v, %v", m2, err)
		}
	})
}

// rawPax writes one file with records that archive/tar would not write.
func rawPax(records map[string]string, content string) []byte {
	var text bytes.Buffer
	for k, v := range records {
		size := len(k) + len(v) + 3
		for len(fmt.Sprintf("%d %s=%s\n", size, k, v)) != size {
			size++
		}
		fmt.Fprintf(&text, "%d %s=%s\n", size, k, v)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	header := func(name string, size int) []byte {
		b.Reset()
		_ = w.WriteHeader(&tar.Header{Name: name, Size: int64(size), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR})
		w = tar.NewWriter(&b)
		return bytes.Clone(b.Bytes())
	}
	extended := header("records", text.Len())
	extended[156] = tar.TypeXHeader
	checksum(extended)
	padded := func(p []byte) []byte { return append(p, make([]byte, (512-len(p)%512)%512)...) }
	archive := append(extended, padded(text.Bytes())...)
	archive = append(archive, header("holes", len(content))...)
	archive = append(archive, padded([]byte(content))...)
	return append(archive, make([]byte, 1024)...)
}

// checksum makes a changed header valid again.
func checksum(block []byte) {
	copy(block[148:156], "        ")
	sum := 0
	for _, c := range block[:512] {
		sum += int(c)
	}
	copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

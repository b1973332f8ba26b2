package release

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

var noTime time.Time

// hostile is entries that lead out of the release, or are nothing that a release has.
var hostile = map[string][]tar.Header{
	"parent":               {{Name: "../evil", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"parent within":        {{Name: "bin/../../evil", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"absolute":             {{Name: "/tmp/evil", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"absolute after a dot": {{Name: ".//tmp/evil", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"backslash":            {{Name: `..\evil`, Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"own directory":        {{Name: ".handover/release.json", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"newline":              {{Name: "bin/a\nb", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"not in UTF-8":         {{Name: "bin/\xff", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x"), Format: tar.FormatGNU}},
	"twice":                {{Name: "bin/shop", Typeflag: tar.TypeReg, Mode: 0o755, PAXRecords: body("x")}},
	"file as a directory":  {{Name: "bin/shop/evil", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"directory as a file":  {{Name: "bin", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"link up":              {{Name: "bin/up", Typeflag: tar.TypeSymlink, Linkname: "../../etc"}},
	"link to the root":     {{Name: "bin/up", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
	"link to nothing":      {{Name: "bin/up", Typeflag: tar.TypeSymlink, Linkname: "nothing"}},
	"link to itself":       {{Name: "bin/up", Typeflag: tar.TypeSymlink, Linkname: "up"}},
	"link in disguise":     {{Name: "bin/up", Typeflag: tar.TypeSymlink, Linkname: "../etc/../../.."}},
	"through a link": {
		{Name: "a/b/c/file", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")},
		{Name: "a/b/c/x", Typeflag: tar.TypeSymlink, Linkname: "../../../etc"},
		{Name: "a/b/c/y", Typeflag: tar.TypeSymlink, Linkname: "x/../../.."},
	},
	"file below a link": {
		{Name: "up", Typeflag: tar.TypeSymlink, Linkname: "etc"},
		{Name: "up/evil", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")},
	},
	"hard link up":          {{Name: "bin/up", Typeflag: tar.TypeLink, Linkname: "../../../../etc/passwd"}},
	"hard link to the root": {{Name: "bin/up", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}},
	"hard link to a link":   {{Name: "bin/up", Typeflag: tar.TypeLink, Linkname: "etc/default.yaml"}},
	"hard link to nothing":  {{Name: "bin/up", Typeflag: tar.TypeLink, Linkname: "nothing"}},
	"character device":      {{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3}},
	"block device":          {{Name: "disk", Typeflag: tar.TypeBlock, Mode: 0o666, Devmajor: 8}},
	"named pipe":            {{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o666}},
	"long name":             {{Name: "bin/" + strings.Repeat("n", 300), Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"long path":             {{Name: strings.Repeat("directory/", 200) + "x", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"deep path":             {{Name: strings.Repeat("d/", 100) + "x", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
	"very long target":      {{Name: "bin/up", Typeflag: tar.TypeSymlink, Linkname: strings.Repeat("t/", 600) + "t"}},
	"very long name":        {{Name: strings.Repeat("x", 1<<19), Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body("x")}},
}

// What is refused is refused by its name, on one line, and changes nothing.
func TestRefusedArtifactsLeaveTheHostAsItWas(t *testing.T) {
	w := newWorkshop(t)
	s, _ := w.serving()
	before := snapshot(t, s.dir)
	refuse := func(what, artifact string, p Policy, want error) {
		t.Helper()
		_, err := s.Add(t.Context(), source(t, artifact), p, nil)
		switch {
		case !errors.Is(err, want) || !errors.Is(err, ErrRefused):
			t.Errorf("%s: %v, want %v", what, err, want)
		case strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000:
			t.Errorf("%s: not on one line: %q", what, err)
		}
		if after := snapshot(t, s.dir); after != before {
			t.Fatalf("%s: the store has changed from\n%s\nto\n%s", what, before, after)
		}
	}
	good := w.signed("1.2.0")
	files := map[string][]byte{}
	for _, suffix := range []string{"", ManifestSuffix, SignatureSuffix} {
		text, err := os.ReadFile(good + suffix)
		w.check(err)
		files[suffix] = text
	}
	restore := func() {
		for suffix, text := range files {
			w.check(os.WriteFile(good+suffix, text, 0o644))
		}
	}

	refuse("wrong key", good, Policy{Keys: strangers(t)}, ErrSignature)
	refuse("no key", good, Policy{}, ErrSignature)
	refuse("another service", good, Policy{Keys: w.keys, Name: "chat"}, ErrManifest)
	refuse("another digest", good+pin+strings.Repeat("0", 64), w.policy(), ErrDigest)
	refuse("older", w.signed("1.1.0-rc.1"), w.policy(), ErrOlder)
	refuse("expired", w.sign(w.write("old.tar", packed(t, program("1.3.0"))), "1.3.0", time.Now().Add(-time.Hour)), w.policy(), ErrExpired)
	refuse("too large", good, Policy{Keys: w.keys, MaxSize: 10}, ErrTooLarge)
	refuse("too many files", good, Policy{Keys: w.keys, MaxFiles: 3}, ErrTooLarge)
	for suffix, want := range map[string]error{"": ErrDigest, ManifestSuffix: ErrSignature, SignatureSuffix: ErrSignature} {
		text := files[suffix]
		for _, at := range []int{len(text) / 3, len(text) / 2, len(text) - 3} {
			flipped := bytes.Clone(text)
			flipped[at] ^= 1
			w.check(os.WriteFile(good+suffix, flipped, 0o644))
			refuse("flipped bit in "+suffix, good, w.policy(), want)
			refuse("flipped bit in "+suffix, good, Policy{Keys: w.keys, AllowUnsigned: true}, want)
		}
		w.check(os.WriteFile(good+suffix, text[:len(text)/2], 0o644))
		refuse("truncated "+suffix, good, w.policy(), want)
		w.check(os.WriteFile(good+suffix, append(bytes.Clone(text), "more"...), 0o644))
		refuse("longer "+suffix, good, w.policy(), want)
		restore()
	}
	w.check(os.Remove(good + SignatureSuffix))
	refuse("unsigned", good, w.policy(), ErrSignature)
	w.check(os.Remove(good + ManifestSuffix))
	refuse("without a manifest", good, w.policy(), ErrManifest)

	for name, h := range hostile {
		refuse(name, w.falsify("1.2.0", packed(t, append(program("1.2.0"), h...))), w.policy(), ErrRefused)
	}
	refuse("missing file", w.falsify("1.2.0", packed(t, program("1.2.0")[:4])), w.policy(), ErrDigest)
	refuse("no archive", w.falsify("1.2.0", gzipped(t, []byte("none"))), w.policy(), ErrUnsafe)
	refuse("file for an archive", w.falsify("1.2.0", []byte("none")), w.policy(), ErrRefused)
}

func TestFlippedBitsOfASignatureAreAllRefused(t *testing.T) {
	w := newWorkshop(t)
	message := []byte("message")
	good := sign(w.key, message, Manifest{Name: "shop", Version: "1.0.0", Digest: strings.Repeat("0", 64)})
	if _, err := w.keys.verify(message, good); err != nil {
		t.Fatal(err)
	}
	trusted := bytes.IndexByte(good, '\n') + 1 // what is before is a comment that nobody trusts
	for i := trusted; i < len(good)-1; i++ {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := w.keys.verify(message, bad); !errors.Is(err, ErrSignature) {
				t.Errorf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

// What is promised in the manifest and what is not are different bombs: one is refused by its numbers, one while it is unpacked.
func TestBombsAreRefused(t *testing.T) {
	w := newWorkshop(t)
	s, _ := w.serving()
	before := snapshot(t, s.dir)
	zeros := packed(t, append(program("1.2.0"), tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: body(strings.Repeat("\x00", 5<<20))}))
	for name, bomb := range map[string][]byte{"gzip": gzipped(t, zeros), "zstd": zstandard(t, zeros)} {
		artifact := w.write("bomb", bomb)
		if _, err := Sign(t.Context(), artifact, Description{Name: "shop", Version: "1.2.0"}, &w.key); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s was signed: %v", name, err)
		}
		if _, err := s.Add(t.Context(), source(t, w.falsify("1.2.0", bomb)), w.policy(), nil); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, not promised: %v", name, err)
		}
		promised := w.falsify("1.2.0", bomb)
		w.forge(promised, func(m *Manifest) {
			m.Files = append(m.Files, File{Path: "zeros", Mode: 0o444, Size: 5 << 20, SHA256: strings.Repeat("0", 64)})
			m.UnpackedSize += 5 << 20
		})
		if _, err := s.Add(t.Context(), source(t, promised), w.policy(), nil); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s, promised: %v", name, err)
		}
	}
	many := program("1.2.0")
	for range 2000 {
		many = append(many, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755})
	}
	if _, err := s.Add(t.Context(), source(t, w.falsify("1.2.0", packed(t, many))), Policy{Keys: w.keys, MaxFiles: 1000}, nil); !errors.Is(err, ErrTooLarge) {
		t.Errorf("many entries: %v", err)
	}
	if snapshot(t, s.dir) != before {
		t.Error("the store has changed")
	}
}

// A sparse file is a large one that takes no room in the archive: GNU tar writes them in a format of its own, or with records of pax.
func TestSparseFilesAreRefused(t *testing.T) {
	for name, records := range map[string]map[string]string{
		"0.1": {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": "0,1", "GNU.sparse.size": "1000000000000", "GNU.sparse.numblocks": "1"},
		"1.0": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "holes", "GNU.sparse.realsize": "1000000000000"},
	} {
		archive := rawPax(records, "1\n0\n1\n"+strings.Repeat("\x00", 506)+"x")
		_, err := unpackBytes(t, FormatTar, archive, limits{bytes: 1 << 50, files: 10})
		if !errors.Is(err, ErrUnsafe) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package preflight

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestGoodBuildIsFitAndSaysWhatItIs(t *testing.T) {
	r, err := Check(programs["next"], Reference{Path: programs["incumbent"], PID: process(t)})
	must(t, err)
	info, err := os.Stat(programs["next"])
	must(t, err)
	if len(r.Warnings) != 0 || r.Size != info.Size() || r.Kind != ownKind() || !filepath.IsAbs(r.Path) {
		t.Errorf("%+v", r)
	}
	if b := r.Build; b.Module != "example.com/shop" || b.Main != "example.com/shop" || !strings.HasPrefix(b.GoVersion, "go") {
		t.Errorf("%+v", b)
	}
	if m := r.Memory; m.Available <= 0 || m.Of == "" || m.Needed <= 0 {
		t.Errorf("%+v", m)
	}
}

// TestBadBuildsAreUnfitWithAdvice has a row for each way of being no build; each error names the file, what is wrong with
// it, and what to do.
func TestBadBuildsAreUnfitWithAdvice(t *testing.T) {
	for _, bad := range []struct {
		name      string
		put       func(t *testing.T) string
		what, do  string
		is        error // nil if there is no cause to ask for
		incumbent string
	}{
		{name: "missing", put: missing, what: "does not exist", do: "deploy", is: fs.ErrNotExist},
		{name: "a dangling link", put: dangling, what: "leads nowhere", do: "set the link right", is: fs.ErrNotExist},
		{name: "a directory", put: func(t *testing.T) string { return t.TempDir() }, what: "is a directory", do: "give the path"},
		{name: "a named pipe", put: pipe, what: "is a named pipe", do: "give the path"},
		{name: "a device", put: func(*testing.T) string { return "/dev/null" }, what: "is a device", do: "give the path"},
		{name: "empty", put: file("", 0o755), what: "is empty", do: "copy"},
		{name: "not executable", put: plain, what: "may not be executed", do: "chmod a+x", is: fs.ErrPermission},
		{name: "a text file", put: file("not a program\n", 0o755), what: "neither a program nor a script", do: "GOOS=linux"},
		{name: "another machine", put: built("foreign"), what: "where the incumbent is ELF 64-bit", do: "GOARCH="},
		{name: "another class", put: built("narrow"), what: "is ELF 32-bit little-endian 386", do: "GOARCH="},
		{name: "another operating system", put: built("mac"), what: "(Mach-O)", do: "GOOS=linux"},
		{name: "another kernel's ELF", put: patched(elf.EI_OSABI, byte(elf.ELFOSABI_FREEBSD)), what: "for FREEBSD", do: "GOOS=linux"},
		{name: "a program of Windows", put: file("MZ\x90\x00 and so on", 0o755), what: "(PE)", do: "GOOS=linux"},
		{name: "another module", put: built("other"), what: `of module "example.com/bank"`, do: "same service"},
		{name: "cut in its header", put: cut(40), what: "is cut short: its header", do: "compare the sizes"},
		{name: "cut in its tables", put: cut(100), what: "is cut short: its table of segments", do: "compare the sizes"},
		{name: "cut in half", put: cut(0), what: "is cut short: segment", do: "compare the sizes"},
		{name: "cut at its end", put: cut(-1), what: "is cut short: section", do: "compare the sizes"},
		{name: "an object file", put: typed(elf.ET_REL, true), what: "is an object file", do: "go build"},
		{name: "a core dump", put: typed(elf.ET_CORE, true), what: "is a core dump", do: "go build"},
		{name: "a shared library", put: typed(elf.ET_DYN, false), what: "is a shared library", do: "go build"},
		{name: "without an entry", put: typed(elf.ET_EXEC, false), what: "entry point", do: "go build"},
		{name: "a script", put: file("#!/bin/sh\n", 0o755), what: "is a script, where the incumbent", do: "program itself"},
		{name: "a script without interpreter", put: file("#!/no/such/sh -e\n", 0o755), what: `needs "/no/such/sh"`, do: "install", is: fs.ErrNotExist, incumbent: "script"},
		{name: "a script from Windows", put: file("#!/bin/sh\r\n", 0o755), what: "line ends", do: "LF", incumbent: "script"},
		{name: "a script of nobody", put: file("#! \n", 0o755), what: "names no interpreter", do: "#!/bin/sh", incumbent: "script"},
		{name: "a script with an endless line", put: file("#!"+strings.Repeat("/a", 300), 0o755), what: "too long", do: "below 256", incumbent: "script"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			path, incumbent := bad.put(t), programs["incumbent"]
			if bad.incumbent == "script" {
				incumbent = place(t, "run.sh", []byte("#!/bin/sh\n"), 0o755)
			}
			_, err := Check(path, Reference{Path: incumbent})
			wantUnfit(t, err, path, bad.what, bad.do)
			if bad.is != nil && !errors.Is(err, bad.is) {
				t.Errorf("%v is not %v", err, bad.is)
			}
		})
	}
}

func TestBuildThatIsBeingWrittenIsUnfitUntilItIsWritten(t *testing.T) {
	path := place(t, "server", content(t, "next"), 0o755)
	writer, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = Check(path, Reference{Path: programs["incumbent"]})
	wantUnfit(t, err, path, "is being written", "rename")
	if !errors.Is(err, syscall.ETXTBSY) {
		t.Errorf("%v is not ETXTBSY", err)
	}
	syscall.ForkLock.RLock()
	must(t, writer.Close())
	syscall.ForkLock.RUnlock()
	_, err = Check(path, Reference{Path: programs["incumbent"]})
	must(t, err)
}

func TestEveryFindingIsToldAtOnce(t *testing.T) {
	path := place(t, "server", content(t, "foreign"), 0o644)
	_, err := Check(path, Reference{Path: programs["incumbent"]})
	wantUnfit(t, err, path, "may not be executed", "chmod a+x")
	wantUnfit(t, err, path, "where the incumbent is", "GOARCH=")
}

func TestEndlessSparseFileIsReadInBounds(t *testing.T) {
	path := place(t, "server", content(t, "incumbent"), 0o755)
	must(t, os.Truncate(path, 1<<40))
	_, err := Check(path, Reference{Path: programs["incumbent"]})
	must(t, err)
	path = place(t, "zeros", nil, 0o755)
	must(t, os.Truncate(path, 1<<40))
	_, err = Check(path, Reference{})
	wantUnfit(t, err, path, "neither a program nor a script", "executable")
}

func wantUnfit(t *testing.T, err error, path, what, do string) {
	t.Helper()
	if !errors.Is(err, ErrUnfit) {
		t.Fatalf("got %v, want ErrUnfit", err)
	}
	for _, part := range []string{path, what, do} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nsays nothing of %q", err, part)
		}
	}
}

func missing(t *testing.T) string { return filepath.Join(t.TempDir(), "server") }

func dangling(t *testing.T) string {
	path := missing(t)
	must(t, os.Symlink("nowhere", path))
	return path
}

func pipe(t *testing.T) string {
	path := missing(t)
	must(t, syscall.Mkfifo(path, 0o755))
	return path
}

func file(text string, mode os.FileMode) func(*testing.T) string {
	return func(t *testing.T) string { return place(t, "server", []byte(text), mode) }
}

func plain(t *testing.T) string { return place(t, "server", content(t, "next"), 0o644) }

func built(name string) func(*testing.T) string {
	return func(*testing.T) string { return programs[name] }
}

// cut leaves so many bytes of a build: half of it for 0; for -1, all but the last one of its sections.
func cut(size int) func(*testing.T) string {
	return func(t *testing.T) string {
		p := content(t, "next")
		switch size {
		case 0:
			size = len(p) / 2
		case -1:
			m, err := elf.Open(programs["next"])
			must(t, err)
			defer m.Close()
			size = 0
			for _, s := range m.Sections {
				if s.Type != elf.SHT_NOBITS {
					size = max(size, int(s.Offset+s.FileSize))
				}
			}
			size--
		}
		return place(t, "server", p[:size], 0o755)
	}
}

func patched(at int, value byte) func(*testing.T) string {
	return func(t *testing.T) string {
		p := content(t, "next")
		p[at] = value
		return place(t, "server", p, 0o755)
	}
}

// typed makes a good build one of another type, with or without its entry point. Every machine of Go's that Linux runs on
// 64 bits has both fields where they are here.
func typed(as elf.Type, entry bool) func(*testing.T) string {
	return func(t *testing.T) string {
		p := content(t, "next")
		binary.NativeEndian.PutUint16(p[16:], uint16(as))
		if !entry {
			binary.NativeEndian.PutUint64(p[24:], 0)
		}
		return place(t, "server", p, 0o755)
	}
}

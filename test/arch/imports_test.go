package arch

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// layout says, as DESIGN.md does: wire, platform and accept import none of ours; takeover and notify stand on those two, peer also on takeover, the library and
// keeper on all of them, and keeper never on the library; handovertest none, so that it tests any build from outside. Only platform goes
// beyond the standard library, to make system calls. Examples see what a user sees; benchmarks also ask at the takeover socket.
//
// A row covers the folders below its own, which may import one another.
var layout = []row{
	{of: "internal/wire", never: list{"os/exec"}},
	{of: "internal/platform", others: list{xsys}},
	{of: "internal/peer", ours: list{"internal/takeover", "internal/wire", "internal/platform"}},
	{of: "internal/takeover", ours: list{"internal/platform"}},
	{of: "internal/doctest"},
	{of: "internal/accept"},
	{of: "internal/idle"},
	{of: "internal/leaktest"},
	{of: "internal/notify", ours: list{"internal/platform"}},
	{of: ".", ours: list{"internal/accept", "internal/idle", "internal/notify", "internal/peer", "internal/takeover", "internal/wire", "internal/platform"}},
	{of: "keeper", ours: list{"internal/accept", "internal/notify", "internal/peer", "internal/takeover", "internal/wire", "internal/platform"}},
	{of: "handovertest"},
	{of: "host/service", ours: list{"host/internal", "internal/leaktest", "internal/peer", "internal/takeover", "internal/wire", "internal/platform"}},
	{of: "host/audit"},
	{of: "host/control", ours: list{"host/audit", "internal/platform", "internal/doctest", "internal/leaktest"}},
	{of: "host/doctor", ours: list{"internal/takeover", "internal/wire", "internal/platform"}, others: anything},
	{of: "host/demo", ours: list{".", "handovertest"}},
	{of: "host/agent/config", ours: list{"internal/doctest"}, others: list{"github.com/goccy/go-yaml"}},
	{of: "host/journal", others: list{"go.etcd.io/bbolt"}},
	{of: "host/agent/hooks", ours: list{"host/agent/config"}, others: list{xsys}},
	{of: "host/judge", never: list{"context", "log/slog", "net", "os", "sync"}, others: list{"pgregory.net/rapid"}},
	{of: "host/observe", ours: list{"host/judge"}, others: list{xsys, "github.com/prometheus/procfs", "go.uber.org/goleak", "google.golang.org/grpc"}},
	{of: "host/release", ours: list{"internal/leaktest"}, others: list{
		"aead.dev/minisign", "github.com/Masterminds/semver", "github.com/google/renameio", "github.com/klauspost/compress", "github.com/opencontainers", "oras.land/oras-go", xsys,
	}},
	{of: "host/supervise", ours: list{"host/internal/fake", "host/journal", "host/judge", "host/observe", "host/release", "host/service", "internal/wire", "keeper/preflight"}, others: list{xsys, "github.com/prometheus/procfs"}},
	{of: "host/agent", ours: list{
		".", "host/agent/config", "host/agent/hooks", "host/audit", "host/control", "host/journal", "host/judge", "host/observe", "host/release", "host/service",
		"host/supervise", "internal/accept", "keeper/preflight",
	}, others: list{"github.com/fsnotify/fsnotify"}},
	{of: "host/internal", ours: list{"host/audit", "host/control", "internal/peer", "internal/takeover", "internal/wire", "internal/platform"}},
	{of: "host/cli", ours: list{"host/agent", "host/audit", "host/control", "host/release", "host/service", "host/demo", "host/doctor", "host/internal", "keeper", "internal/takeover", "internal/wire", "internal/peer", "internal/platform"}, others: anything},
	{of: "host/cmd", ours: list{"host/cli", "host/demo", "keeper"}},
	{of: "contrib/grpc", ours: list{".", "handovertest"}, others: anything},
	{of: "contrib/livetls/internal/record", others: list{"golang.org/x/crypto/chacha20poly1305"}},
	{of: "contrib/livetls", ours: list{".", "contrib/livetls/internal", "internal/idle", "internal/platform"}, others: list{"golang.org/x/crypto/cryptobyte"}},
	{of: "examples", ours: list{".", "keeper", "contrib", "handovertest"}, others: anything},
	{of: "bench", ours: list{".", "contrib/livetls", "keeper", "handovertest", "internal/peer", "internal/wire", "internal/platform"}, others: anything},
	{of: "test", ours: list{".", "contrib/livetls", "keeper", "host", "handovertest", "internal"}, others: anything},
}

type list []string

type row struct {
	of     string // a folder
	ours   list   // folders of ours that it may import
	others list   // modules of others that it may import
	never  list   // packages of the standard library that it may not
}

const (
	module = "github.com/handover-go/handover"
	xsys   = "golang.org/x/sys"
)

var anything = list{""}

func TestImportsPointDownOnly(t *testing.T) {
	for _, f := range goFiles(t) {
		r, ok := rowOf(f.dir())
		if !ok {
			t.Errorf("%s: folder %q has no row in the layout", f.path, f.dir())
			continue
		}
		for _, spec := range f.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if !r.allows(f, imported) {
				t.Errorf("%s:%d: %q may not import %q", f.path, f.line(spec), f.dir(), imported)
			}
		}
	}
}

// Names of package syscall that other packages of the library may use: types of the standard library's own interfaces,
// signals and error numbers. None of them enters the kernel.
var harmless = regexp.MustCompile(`^(Conn|RawConn|Signal|SIG[A-Z0-9]+|Errno|E[A-Z0-9]+|WaitStatus)$`)

var perOS = regexp.MustCompile(`_(linux|unix|darwin|freebsd|windows)\.go$`)

func TestSystemCallsAreMadeByPlatformOnly(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() || !ofLibrary(f.dir()) || within(f.dir(), "internal/platform") {
			continue
		}
		// handovertest imports none of ours, so what it asks of a kernel stands in files of its own.
		if within(f.dir(), "handovertest") && perOS.MatchString(f.path) {
			continue
		}
		name := f.nameOf("syscall")
		if name == "." {
			t.Errorf("%s: imports syscall into its own scope", f.path)
		}
		for x, sel := range f.selections() {
			if x == name && !harmless.MatchString(sel.Sel.Name) {
				t.Errorf("%s:%d: syscall.%s outside internal/platform", f.path, f.line(sel), sel.Sel.Name)
			}
		}
	}
}

// What judges a release is a function of what it is given: no clock, nothing that runs beside it.
func TestJudgeKnowsNoClockAndStartsNothing(t *testing.T) {
	for _, f := range goFiles(t) {
		if f.isTest() || !within(f.dir(), "host/judge") {
			continue
		}
		clock := f.nameOf("time")
		for x, sel := range f.selections() {
			if x == clock && slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}, sel.Sel.Name) {
				t.Errorf("%s:%d: time.%s", f.path, f.line(sel), sel.Sel.Name)
			}
		}
		for n := range ast.Preorder(f.File) {
			switch n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				t.Errorf("%s:%d: something runs beside it", f.path, f.line(n))
			}
		}
	}
}

// allows reports whether a file of the row may import a package. Tests of the library may import all of the library, and
// nothing beyond the standard library and golang.org/x/sys.
func (r row) allows(f file, imported string) bool {
	if dir, ok := folderOf(imported); ok {
		if f.isTest() && ofLibrary(r.of) {
			return ofLibrary(dir)
		}
		return within(dir, r.of) || slices.ContainsFunc(r.ours, func(o string) bool { return within(dir, o) })
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return f.isTest() || !slices.Contains(r.never, imported)
	}
	if f.isTest() && ofLibrary(r.of) {
		return strings.HasPrefix(imported, xsys)
	}
	return slices.ContainsFunc(r.others, func(o string) bool { return strings.HasPrefix(imported, o) })
}

// rowOf returns the row that covers a folder.
func rowOf(dir string) (row, bool) {
	i := slices.IndexFunc(layout, func(r row) bool { return within(dir, r.of) })
	if i < 0 {
		return row{}, false
	}
	return layout[i], true
}

// folderOf returns the folder of one of our own packages.
func folderOf(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// ofLibrary reports whether a folder belongs to the module at the root.
func ofLibrary(dir string) bool {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, err := os.Stat(filepath.Join(repository, dir, "go.mod")); err == nil {
			return false
		}
	}
	return true
}

package preflight

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

const (
	// maxBuildReads bounds what is read in search of build information. In a program of Go's linker it has a section of its
	// own; in others, the whole of their data is searched.
	maxBuildReads = 64 << 20

	// maxBuildText bounds each text that is taken from a file.
	maxBuildText = 512
)

// GoBuild is what a Go program says of its own build. Every text is as the file has it, up to 512 bytes: quote it before it
// is shown.
type GoBuild struct {
	Module    string `json:"module,omitempty"`  // path of the main module
	Version   string `json:"version,omitempty"` // of the main module; "(devel)" if built from a checkout
	Main      string `json:"main,omitempty"`    // path of the main package
	GoVersion string `json:"goVersion,omitempty"`
	Revision  string `json:"revision,omitempty"` // vcs.revision
	Time      string `json:"time,omitempty"`     // vcs.time, RFC 3339
	Modified  bool   `json:"modified,omitempty"` // the checkout had changes that were not committed
}

// ReadGoBuild reads the build information of an executable of that size in bytes, within bounds of time and memory, whatever
// the file contains. A program without any is an error.
func ReadGoBuild(r io.ReaderAt, size int64) (b GoBuild, err error) {
	switch formatOf(r) {
	case "", Script:
		return GoBuild{}, errors.New("read build information: the file is no program")
	case ELF:
		m, err := readELF(r, size)
		if err == nil {
			err = m.modest()
		}
		if err != nil {
			return GoBuild{}, fmt.Errorf("read build information: the file %w", err)
		}
	}
	// The packages below debug are not made for hostile files, and say so.
	defer func() {
		if p := recover(); p != nil {
			b, err = GoBuild{}, fmt.Errorf("read build information: %v", p)
		}
	}()
	info, err := buildinfo.Read(&thrift{r: r, left: maxBuildReads})
	if err != nil {
		return GoBuild{}, fmt.Errorf("read build information: %w", err)
	}
	return summarize(info)
}

func summarize(info *debug.BuildInfo) (GoBuild, error) {
	b := GoBuild{Module: info.Main.Path, Version: info.Main.Version, Main: info.Path, GoVersion: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	for _, text := range []string{b.Module, b.Version, b.Main, b.GoVersion, b.Revision, b.Time} {
		if len(text) > maxBuildText {
			return GoBuild{}, fmt.Errorf("read build information: a text of %d bytes", len(text))
		}
	}
	return b, nil
}

// modest says by error what would make elf.NewFile read without a bound.
func (m *image) modest() error {
	if m.shoff != 0 && m.shnum == extendedNumbering {
		return errors.New("has a table of sections of unknown length")
	}
	if m.names < len(m.sections) && m.sections[m.names].Flags&elf.SHF_COMPRESSED != 0 {
		return errors.New("has a compressed table of names")
	}
	return nil
}

// thrift is a reader that has enough after a number of bytes.
type thrift struct {
	r    io.ReaderAt
	left int
}

func (t *thrift) ReadAt(p []byte, off int64) (int, error) {
	if len(p) > t.left {
		return 0, errors.New("it is too far into the file")
	}
	t.left -= len(p)
	return t.r.ReadAt(p, off)
}

// checkBuild compares the build's main module with the incumbent's. A program that says nothing of itself may be any.
func (e *examination) checkBuild(f *os.File) {
	if e.report.Kind.Format != native() || len(e.faults) > 0 {
		return
	}
	b, err := ReadGoBuild(f, e.report.Size)
	e.report.Build = b
	theirs := e.incumbent.build
	switch {
	case err != nil:
		e.warn("has no build information to tell whose build it is", "build it with go build, in its module")
	case b.Module == "":
		e.warn("was built outside of a module, so whose build it is cannot be told", "build it in its module")
	case !e.incumbent.known:
	case theirs.Module == "":
		e.warn(fmt.Sprintf("is of module %q, while the incumbent says nothing of its own", b.Module), "make sure that it is the same service")
	case b.Module != theirs.Module:
		e.fault(fmt.Sprintf("is of module %q, the incumbent of %q", b.Module, theirs.Module), "deploy a build of the same service; a new service gets a keeper of its own")
	case b.Main != theirs.Main:
		e.warn(fmt.Sprintf("is program %q of the module, the incumbent %q", b.Main, theirs.Main), "make sure that it is the same service")
	}
}

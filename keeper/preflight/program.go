package preflight

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

const (
	// maxScriptLine is the kernel's (BINPRM_BUF_SIZE).
	maxScriptLine = 256

	// maxPath is PATH_MAX.
	maxPath = 4096
)

const copyAgain = "copy the build there again, and compare the sizes"

// checkKind compares what the file is with what the incumbent is, and looks into what this system executes.
func (e *examination) checkKind(f *os.File) {
	format := formatOf(f)
	e.report.Kind.Format = format
	switch {
	case format == "":
		e.fault("is neither a program nor a script", "give the path of an executable; "+e.incumbent.program().advice())
	case format == Script:
		e.checkScript(f)
	case format != native():
		e.fault(fmt.Sprintf("is a program of another operating system (%s)", format), e.incumbent.program().advice())
	case format == ELF:
		e.checkELF(f)
	}
	if format == native() && e.incumbent.kind.Format == Script {
		e.warn("is a program, where the incumbent is a script", "make sure that it does what the script did")
	}
}

func (e *examination) checkScript(f *os.File) {
	if e.incumbent.known && e.incumbent.kind.Format != Script {
		e.fault(fmt.Sprintf("is a script, where the incumbent is a program (%v)", e.incumbent.kind), "give the path of the program itself")
	}
	line := make([]byte, maxScriptLine)
	n, _ := f.ReadAt(line, 0) // at least the two bytes that made it a script
	line, _, ended := bytes.Cut(line[2:n], []byte("\n"))
	interpreter, _, spaced := strings.Cut(strings.Trim(string(line), " \t"), " ")
	interpreter, _, tabbed := strings.Cut(interpreter, "\t")
	switch {
	case !ended && !spaced && !tabbed && n == maxScriptLine:
		e.fault("is a script whose first line is too long", fmt.Sprintf("keep it below %d bytes", maxScriptLine))
	case interpreter == "":
		e.fault("is a script that names no interpreter", "name it in the first line: #!/bin/sh")
	case strings.HasSuffix(interpreter, "\r"):
		e.fault("is a script with the line ends of another system", "end its lines with LF alone")
	default:
		e.checkInterpreter(interpreter, "install it, or name another one in the first line")
	}
}

func (e *examination) checkELF(f *os.File) {
	size := e.report.Size
	m, err := readELF(f, size)
	e.report.Kind = m.kind
	if err == nil {
		err = m.within(size)
	}
	if err != nil {
		e.fault(err.Error(), copyAgain)
		return
	}
	if err := m.program(); err != nil {
		e.fault(err.Error(), "give the path of an executable; build it with go build")
		return
	}
	if want := e.incumbent.program(); m.kind != want {
		e.fault(fmt.Sprintf("is %v, where %s is %v", m.kind, e.incumbent.who(), want), want.advice())
		return
	}
	e.loads = m.loads(size)
	for _, p := range m.segments {
		if p.Type == elf.PT_INTERP {
			e.checkLoader(io.NewSectionReader(f, int64(p.Off), int64(p.Filesz)))
		}
	}
}

// checkLoader examines the dynamic loader that a program asks for.
func (e *examination) checkLoader(segment *io.SectionReader) {
	p := make([]byte, min(segment.Size(), maxPath))
	n, _ := segment.ReadAt(p, 0)
	loader, _, ended := bytes.Cut(p[:n], []byte{0})
	if !ended || len(loader) == 0 {
		e.fault("is damaged: the name of its dynamic loader has no end", copyAgain)
		return
	}
	e.checkInterpreter(string(loader), "install it, or build with CGO_ENABLED=0")
}

// checkInterpreter examines what the kernel would start in the file's stead.
func (e *examination) checkInterpreter(path, do string) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err == nil {
		err = executable(path, info)
	}
	if err != nil {
		e.faults = append(e.faults, Finding{Where: e.path, What: fmt.Sprintf("needs %q, which cannot be executed: %v", path, err), Do: do, Err: err})
	}
}

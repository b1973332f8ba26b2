package preflight

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// decoder reads the tables of an ELF file. The first error stays, and makes all that follows do nothing.
type decoder struct {
	r     io.ReaderAt
	size  uint64 // of the file
	order binary.ByteOrder
	err   error
}

func (d *decoder) headers64(m *image) {
	var h elf.Header64
	d.decode(d.read(0, uint64(binary.Size(h)), "its header"), &h)
	m.typ, m.kind.Machine, m.entry = elf.Type(h.Type), elf.Machine(h.Machine), h.Entry
	m.shnum, m.shoff, m.names = int(h.Shnum), h.Shoff, int(h.Shstrndx)
	var p elf.Prog64
	for row := range d.programs(h.Phoff, int(h.Phnum), int(h.Phentsize), binary.Size(p)) {
		d.decode(row, &p)
		m.segments = append(m.segments, elf.ProgHeader{
			Type: elf.ProgType(p.Type), Flags: elf.ProgFlag(p.Flags), Off: p.Off, Vaddr: p.Vaddr, Filesz: p.Filesz, Memsz: p.Memsz,
		})
	}
	var s elf.Section64
	for row := range d.sections(m, int(h.Shentsize), binary.Size(s)) {
		d.decode(row, &s)
		m.sections = append(m.sections, elf.SectionHeader{
			Type: elf.SectionType(s.Type), Flags: elf.SectionFlag(s.Flags), Offset: s.Off, FileSize: s.Size,
		})
	}
}

func (d *decoder) headers32(m *image) {
	var h elf.Header32
	d.decode(d.read(0, uint64(binary.Size(h)), "its header"), &h)
	m.typ, m.kind.Machine, m.entry = elf.Type(h.Type), elf.Machine(h.Machine), uint64(h.Entry)
	m.shnum, m.shoff, m.names = int(h.Shnum), uint64(h.Shoff), int(h.Shstrndx)
	var p elf.Prog32
	for row := range d.programs(uint64(h.Phoff), int(h.Phnum), int(h.Phentsize), binary.Size(p)) {
		d.decode(row, &p)
		m.segments = append(m.segments, elf.ProgHeader{
			Type: elf.ProgType(p.Type), Flags: elf.ProgFlag(p.Flags),
			Off: uint64(p.Off), Vaddr: uint64(p.Vaddr), Filesz: uint64(p.Filesz), Memsz: uint64(p.Memsz),
		})
	}
	var s elf.Section32
	for row := range d.sections(m, int(h.Shentsize), binary.Size(s)) {
		d.decode(row, &s)
		m.sections = append(m.sections, elf.SectionHeader{
			Type: elf.SectionType(s.Type), Flags: elf.SectionFlag(s.Flags), Offset: uint64(s.Off), FileSize: uint64(s.Size),
		})
	}
}

// programs yields the rows of the table of segments. The kernel takes rows of one length only, at least one row, and a table
// of up to 64 KiB. An object file or a core dump is left to be called so.
func (d *decoder) programs(off uint64, n, length, want int) iter.Seq[[]byte] {
	if d.err == nil && n > 0 && (length != want || n*length > maxProgramHeaders) {
		d.err = fmt.Errorf("is damaged: %d program headers of %d bytes", n, length)
	}
	return d.table(off, n, want, "its table of segments")
}

// sections yields the rows of the table of sections, which the kernel never reads; but it lies at the end of most files, where
// its absence shows a cut.
func (d *decoder) sections(m *image, length, want int) iter.Seq[[]byte] {
	n := m.shnum
	if m.shoff == 0 {
		n = 0
	} else if n == extendedNumbering {
		n = 1
	}
	if d.err == nil && n > 0 && length != want {
		d.err = fmt.Errorf("is damaged: section headers of %d bytes", length)
	}
	return d.table(m.shoff, n, want, "its table of sections")
}

// table reads n rows, at once; n fits into 16 bits, so that this is 4 MiB at most.
func (d *decoder) table(off uint64, n, length int, what string) iter.Seq[[]byte] {
	p := d.read(off, uint64(n*length), what)
	return func(yield func([]byte) bool) {
		for ; d.err == nil && len(p) > 0; p = p[length:] {
			if !yield(p[:length]) {
				return
			}
		}
	}
}

func (d *decoder) read(off, n uint64, what string) []byte {
	if d.err != nil || n == 0 {
		return nil
	}
	if !fits(off, n, d.size) {
		d.err = truncated(what, off, n, d.size)
		return nil
	}
	p := make([]byte, n)
	if got, err := d.r.ReadAt(p, int64(off)); got < len(p) {
		if errors.Is(err, io.EOF) {
			err = truncated(what, off, n, off+uint64(got))
		}
		d.err = err
		return nil
	}
	return p
}

func (d *decoder) decode(p []byte, into any) {
	if d.err == nil {
		_, d.err = binary.Decode(p, d.order, into)
	}
}

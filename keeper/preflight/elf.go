package preflight

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	// maxProgramHeaders is the kernel's (fs/binfmt_elf.c, load_elf_phdrs).
	maxProgramHeaders = 65536

	// extendedNumbering is a count of sections that stands elsewhere than in the file's header (elf(5)), as they are 65280
	// or more. No linker of Go writes it.
	extendedNumbering = 0
)

// image is the headers of an ELF file. They are decoded here and not by elf.NewFile, which reads as many headers as the file
// claims to have, and inflates a compressed table of names to whatever length it claims.
type image struct {
	kind     Kind
	typ      elf.Type
	entry    uint64
	segments []elf.ProgHeader
	sections []elf.SectionHeader // without names
	names    int                 // which section names the others
	shnum    int                 // as in the file's header
	shoff    uint64
}

// readELF reads the headers of a file of that size in bytes. With an error, kind is what was read of it.
func readELF(r io.ReaderAt, size int64) (image, error) {
	d := &decoder{r: r, size: uint64(size)}
	var m image
	ident := d.read(0, elf.EI_NIDENT, "its header")
	if d.err != nil {
		return m, d.err
	}
	m.kind = Kind{
		Format: ELF,
		Class:  elf.Class(ident[elf.EI_CLASS]),
		Order:  elf.Data(ident[elf.EI_DATA]),
		OSABI:  elf.OSABI(ident[elf.EI_OSABI]),
	}
	if m.kind.OSABI == elf.ELFOSABI_LINUX {
		m.kind.OSABI = elf.ELFOSABI_NONE
	}
	switch m.kind.Order {
	case elf.ELFDATA2LSB:
		d.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		d.order = binary.BigEndian
	default:
		return m, fmt.Errorf("has byte order %d, which does not exist", m.kind.Order)
	}
	switch m.kind.Class {
	case elf.ELFCLASS32:
		d.headers32(&m)
	case elf.ELFCLASS64:
		d.headers64(&m)
	default:
		return m, fmt.Errorf("has ELF class %d, which does not exist", m.kind.Class)
	}
	return m, d.err
}

// within says by error what of the file's content lies past its end, or would not be mapped by the kernel.
func (m *image) within(size int64) error {
	for i, p := range m.segments {
		if !fits(p.Off, p.Filesz, uint64(size)) {
			return truncated(fmt.Sprintf("segment %d", i), p.Off, p.Filesz, uint64(size))
		}
		if p.Type == elf.PT_LOAD && p.Filesz > p.Memsz {
			return fmt.Errorf("is damaged: segment %d has %d bytes in the file, and %d in memory", i, p.Filesz, p.Memsz)
		}
	}
	for i, s := range m.sections {
		if s.Type != elf.SHT_NULL && s.Type != elf.SHT_NOBITS && !fits(s.Offset, s.FileSize, uint64(size)) {
			return truncated(fmt.Sprintf("section %d", i), s.Offset, s.FileSize, uint64(size))
		}
	}
	return nil
}

// program says by error why the file is no program, although it is whole.
func (m *image) program() error {
	switch m.typ {
	case elf.ET_EXEC, elf.ET_DYN:
	case elf.ET_REL:
		return errors.New("is an object file, not a linked program")
	case elf.ET_CORE:
		return errors.New("is a core dump, not a program")
	default:
		return fmt.Errorf("is an ELF file of type %d, not a program", m.typ)
	}
	loaded, entered := false, false
	for _, p := range m.segments {
		if p.Type == elf.PT_LOAD {
			loaded = true
			entered = entered || p.Flags&elf.PF_X != 0 && m.entry >= p.Vaddr && m.entry-p.Vaddr < p.Memsz
		}
	}
	switch {
	case !loaded:
		return errors.New("is damaged: nothing of it would be loaded")
	case !entered && m.typ == elf.ET_DYN && m.entry == 0:
		return errors.New("is a shared library, not a program")
	case !entered:
		return fmt.Errorf("is damaged: its entry point %#x is not in its code", m.entry)
	}
	return nil
}

// loads is how many bytes of a file of that size the kernel maps; what a table that maps a byte twice claims beyond the file
// costs no memory twice.
func (m *image) loads(size int64) int64 {
	var sum int64
	for _, p := range m.segments {
		if p.Type == elf.PT_LOAD {
			sum += min(size-sum, int64(min(p.Filesz, uint64(size))))
		}
	}
	return sum
}

func fits(off, n, size uint64) bool { return off <= size && n <= size-off }

func truncated(what string, off, n, size uint64) error {
	return fmt.Errorf("is cut short: %s has %d bytes from byte %d on, and the file ends at byte %d", what, n, off, size)
}

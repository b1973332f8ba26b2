package preflight

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"runtime"
	"strings"
)

// Format is how a file asks to be executed.
type Format string

// Formats that are told apart; "" is none of them, which no kernel executes.
const (
	ELF    Format = "ELF"
	Script Format = "script"
	MachO  Format = "Mach-O"
	PE     Format = "PE"
)

// Kind is what must be the same for a build to run where another one does. All but Format is of ELF.
type Kind struct {
	Format  Format
	Class   elf.Class
	Order   elf.Data
	Machine elf.Machine
	OSABI   elf.OSABI // ELFOSABI_LINUX is given as ELFOSABI_NONE, as the kernel takes both
}

func (k Kind) String() string {
	if k.Format != ELF {
		return string(k.Format)
	}
	bits := map[elf.Class]string{elf.ELFCLASS32: "32-bit", elf.ELFCLASS64: "64-bit"}[k.Class]
	order := map[elf.Data]string{elf.ELFDATA2LSB: "little-endian", elf.ELFDATA2MSB: "big-endian"}[k.Order]
	s := fmt.Sprintf("ELF %s %s %s", bits, order, strings.TrimPrefix(k.Machine.String(), "EM_"))
	if k.OSABI != elf.ELFOSABI_NONE {
		s += " for " + strings.TrimPrefix(k.OSABI.String(), "ELFOSABI_")
	}
	return s
}

// advice is how to build what is of kind k.
func (k Kind) advice() string {
	switch k.Format {
	case ELF:
	case MachO:
		return "build it with GOOS=darwin"
	case PE:
		return "build it with GOOS=windows"
	default:
		return "deploy a program of that kind"
	}
	if arch := goarch[k.Machine]; arch != "" {
		return "build it with GOOS=linux GOARCH=" + arch
	}
	return "build it with GOOS=linux for " + strings.TrimPrefix(k.Machine.String(), "EM_")
}

var goarch = map[elf.Machine]string{
	elf.EM_386:       "386",
	elf.EM_X86_64:    "amd64",
	elf.EM_ARM:       "arm",
	elf.EM_AARCH64:   "arm64",
	elf.EM_LOONGARCH: "loong64",
	elf.EM_RISCV:     "riscv64",
	elf.EM_S390:      "s390x",
}

// machMagics begin Mach-O files of 32 and 64 bits in either byte order, and universal ones.
var machMagics = []string{"\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe", "\xca\xfe\xba\xbf"}

// formatOf goes by the first bytes, as kernels do.
func formatOf(r io.ReaderAt) Format {
	first := make([]byte, 4)
	n, _ := r.ReadAt(first, 0) // what cannot be read has no format
	first = first[:n]
	switch {
	case bytes.HasPrefix(first, []byte(elf.ELFMAG)):
		return ELF
	case bytes.HasPrefix(first, []byte("#!")):
		return Script
	case bytes.HasPrefix(first, []byte("MZ")):
		return PE
	}
	for _, magic := range machMagics {
		if string(first) == magic {
			return MachO
		}
	}
	return ""
}

// native is the format that this operating system executes.
func native() Format {
	switch runtime.GOOS {
	case "darwin", "ios":
		return MachO
	case "windows":
		return PE
	}
	return ELF
}

func kindOf(r io.ReaderAt, size int64) (Kind, error) {
	format := formatOf(r)
	if format != ELF {
		return Kind{Format: format}, nil
	}
	image, err := readELF(r, size)
	return image.kind, err
}

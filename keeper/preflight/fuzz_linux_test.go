package preflight

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
	"testing"
)

// FuzzHostileHeaders has no file make the examination panic, read without a bound, or call a file whole that is not. Go's
// fuzzing ends what takes more than a second.
func FuzzHostileHeaders(f *testing.F) {
	for _, program := range []string{"next", "narrow", "foreign", "mac"} {
		p := headersOf(f, program)
		f.Add(p)
		f.Add(p[:64])
		f.Add(p[:200])
	}
	f.Add([]byte("\x7fELF"))
	f.Add([]byte("#!/bin/sh"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, p []byte) {
		r, size := bytes.NewReader(p), int64(len(p))
		m, err := readELF(r, size)
		if err == nil && m.within(size) == nil {
			_ = m.program()
			if n := m.loads(size); n < 0 || n > size {
				t.Errorf("%d of %d bytes are loaded", n, size)
			}
			for _, s := range m.segments {
				if !fits(s.Off, s.Filesz, uint64(size)) {
					t.Errorf("segment %+v in a file of %d bytes", s, size)
				}
			}
		}
		_ = m.kind.String()
		_ = m.kind.advice()
		_, _ = ReadGoBuild(r, size)
	})
}

// headersOf is the beginning of a program, as mutating all of it would take too long to find anything.
func headersOf(f *testing.F, program string) []byte {
	path := programs[program]
	p, err := readSmall(path)
	if err != nil || len(p) < 8192 {
		f.Fatalf("read %s: %d bytes, %v", path, len(p), err)
	}
	return []byte(p[:8192])
}

// TestTableOfNamesThatInflatesIsNotRead marks the table of names compressed: elf.NewFile would inflate it to the length that
// it claims.
func TestTableOfNamesThatInflatesIsNotRead(t *testing.T) {
	p := content(t, "next")
	const flags = 8 // in elf.Section64
	table, length, names := binary.NativeEndian.Uint64(p[40:]), binary.NativeEndian.Uint16(p[58:]), binary.NativeEndian.Uint16(p[62:])
	at := p[table+uint64(length)*uint64(names)+flags:]
	binary.NativeEndian.PutUint64(at, binary.NativeEndian.Uint64(at)|uint64(elf.SHF_COMPRESSED))
	_, err := ReadGoBuild(bytes.NewReader(p), int64(len(p)))
	if err == nil || !strings.Contains(err.Error(), "compressed table of names") {
		t.Errorf("got %v", err)
	}
}

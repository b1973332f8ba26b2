package release

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Format is how the files of a release are packed.
type Format string

const (
	FormatFile      Format = "file" // the program alone, under the name of the service
	FormatDirectory Format = "directory"
	FormatTar       Format = "tar"
	FormatTarGzip   Format = "tar.gz"
	FormatTarZstd   Format = "tar.zst"
)

var formats = []Format{FormatFile, FormatDirectory, FormatTar, FormatTarGzip, FormatTarZstd}

// maxWindow is the memory that unpacking may take, in bytes: what zstd --ultra -22 asks for.
const maxWindow = 128 << 20

// detect tells the format of what is at a path, by its first bytes.
func detect(f *os.File) (Format, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	switch {
	case info.IsDir():
		return FormatDirectory, nil
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%w: %s is neither file nor directory", ErrUnsafe, f.Name())
	}
	head := make([]byte, 512)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	head = head[:n]
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952
		return FormatTarGzip, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878
		return FormatTarZstd, nil
	case len(head) == 512 && string(head[257:262]) == "ustar": // POSIX.1, pax
		return FormatTar, nil
	}
	return FormatFile, nil
}

// entry is one thing in an artifact.
type entry struct {
	path string // as it stands there
	kind kind
	hard bool   // a second name for the file at to
	mode Mode   // of a file
	size int64  // of a file, in bytes
	to   string // target of a link
	body io.Reader
}

// contents yields the entries of an artifact in turn, and then io.EOF. The body of one is read before the next is asked for.
type contents interface{ next() (entry, error) }

// archived is a tar archive.
type archived struct {
	tar   *tar.Reader
	close func()
}

// openArchive reads a tar archive that is packed like this. The caller closes it.
func openArchive(of Format, r io.Reader) (*archived, error) {
	switch of {
	case FormatTar:
		return &archived{tar.NewReader(bufio.NewReader(r)), func() {}}, nil
	case FormatTarGzip:
		z, err := gzip.NewReader(bufio.NewReader(r))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrUnsafe, err)
		}
		return &archived{tar.NewReader(z), func() { _ = z.Close() }}, nil
	case FormatTarZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<62), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrUnsafe, err)
		}
		return &archived{tar.NewReader(z), z.Close}, nil
	}
	return nil, fmt.Errorf("%w: format %q is no archive", ErrManifest, of)
}

// sparse begins the names of records that spread a small file over a large size.
const sparse = "GNU.sparse."

func (a *archived) next() (entry, error) {
	for {
		h, err := a.tar.Next()
		if err != nil {
			return entry{}, asUnsafe(err)
		}
		e := entry{path: h.Name, mode: modeOf(h.FileInfo().Mode()), size: h.Size, to: h.Linkname, body: a.tar}
		for record := range h.PAXRecords {
			if strings.HasPrefix(record, sparse) {
				return e, fmt.Errorf("%w: %.128q is a sparse file", ErrUnsafe, h.Name)
			}
		}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader: // a comment, such as git writes
			continue
		case tar.TypeReg:
			e.kind, e.to = regular, ""
		case tar.TypeDir:
			e.kind, e.path = directory, strings.TrimSuffix(h.Name, "/")
		case tar.TypeSymlink:
			e.kind = symlink
		case tar.TypeLink:
			e.kind, e.hard = regular, true
		default:
			return e, fmt.Errorf("%w: %.128q is a %s", ErrUnsafe, h.Name, typeName(h.Typeflag))
		}
		return e, nil
	}
}

// asUnsafe makes an archive's own faults refusals; I/O errors stay what they are.
func asUnsafe(err error) error {
	if pathErr := (*fs.PathError)(nil); errors.Is(err, io.EOF) || errors.As(err, &pathErr) {
		return err
	}
	return fmt.Errorf("%w: the archive is broken: %v", ErrUnsafe, err)
}

func typeName(flag byte) string {
	switch flag {
	case tar.TypeChar:
		return "character device"
	case tar.TypeBlock:
		return "block device"
	case tar.TypeFifo:
		return "named pipe"
	case tar.TypeGNUSparse:
		return "sparse file"
	}
	return fmt.Sprintf("thing of type %q", flag)
}

// plain is a single file.
type plain struct {
	name string
	file *os.File
	size int64
	done bool
}

func (p *plain) next() (entry, error) {
	if p.done {
		return entry{}, io.EOF
	}
	p.done = true
	return entry{path: p.name, kind: regular, mode: 0o555, size: p.size, body: io.LimitReader(p.file, p.size)}, nil
}

// shortest is an entry's path without what archivers put before it. What is left unclean is refused later.
func shortest(name string) string {
	if rest, ok := strings.CutPrefix(name, "./"); ok && rest != "" && !path.IsAbs(rest) {
		return rest
	}
	return strings.TrimSuffix(name, "/")
}

package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/handover-go/handover"
)

// build is a build of the service, and what has to become of it.
type build struct {
	name  string
	fault string // one of those in fault.go; empty: a good build
	what  string
	want  handover.Outcome
}

// plan is the first build, which is started, and then what is tried, in this order.
var plan = []build{
	good("v1"), good("v2"), good("v3"),
	{"v4", exits, "exits at once", handover.Aborted},
	good("v5"), good("v6"),
	{"v7", fails, "fails its own check", handover.Aborted},
	good("v8"), good("v9"),
	{"v10", hangs, "hangs once it serves", handover.Resumed},
	good("v11"), good("v12"),
	{"v13", crashes, "crashes under load", handover.Resumed},
	good("v14"), good("v15"),
}

func good(name string) build { return build{name, "", "a good build", handover.Final} }

// A build ends with its name and its fault, padded to labelSize bytes. What lies behind the segments of an executable is
// nobody's business.
const (
	labelSize = 64
	labelMark = "\nhandover demo "
)

func (b build) label() []byte {
	label := []byte(labelMark + b.name + " " + b.fault)
	return append(label, bytes.Repeat([]byte{' '}, labelSize-len(label))...)
}

// install puts the build at path, atomically. Generations that run keep the file that they were started from.
func (b build) install(path string) error {
	next := path + ".next"
	if err := b.write(next); err != nil {
		return fmt.Errorf("make build %s: %w", b.name, err)
	}
	return os.Rename(next, path)
}

func (b build) write(path string) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	from, err := os.Open(executable)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		_, err = to.Write(b.label())
	}
	return errors.Join(err, to.Close())
}

// ownLabel reads which build this process is; false if it is none.
func ownLabel() (name, fault string, ok bool) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", "", false
	}
	defer f.Close()
	label := make([]byte, labelSize)
	if _, err := f.Seek(-labelSize, io.SeekEnd); err != nil {
		return "", "", false
	}
	if _, err := io.ReadFull(f, label); err != nil {
		return "", "", false
	}
	rest, ok := strings.CutPrefix(string(label), labelMark)
	name, fault, _ = strings.Cut(strings.TrimRight(rest, " "), " ")
	return name, fault, ok
}

// serveBuild serves if this process is a build.
func serveBuild(ctx context.Context) (status int, served bool) {
	name, fault, ok := ownLabel()
	if !ok {
		return 0, false
	}
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil)).With("build", name)
	if err := serve(ctx, log, fault, os.Args[1]); err != nil {
		log.Error("ended", "error", err)
		return 1, true
	}
	return 0, true
}

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/handover-go/handover"
)

// build is a build of the service, and what has to become of it.
type build struct {
	name  string
	fault string // as in package service; empty: a good build
	what  string
	want  handover.Outcome
}

// plan is the first build, which is started, and then what is tried, in this order.
var plan = []build{
	good("v1"), good("v2"), good("v3"),
	{"v4", "exits", "exits at once", handover.Aborted},
	good("v5"), good("v6"),
	{"v7", "fails", "fails its own check", handover.Aborted},
	good("v8"), good("v9"),
	{"v10", "hangs", "hangs once it serves", handover.Resumed},
	good("v11"), good("v12"),
	{"v13", "crashes", "crashes under load", handover.Resumed},
	good("v14"), good("v15"),
}

func good(name string) build { return build{name, "", "a good build", handover.Final} }

// serviceImport is what is built.
const serviceImport = "github.com/handover-go/handover/examples/demo/service"

// buildAll builds the plan into dir, as many builds at a time as there are processors.
func buildAll(ctx context.Context, dir string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for _, b := range plan {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := b.make(ctx, dir); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

func (b build) make(ctx context.Context, dir string) error {
	symbols := fmt.Sprintf("-s -w -X main.build=%s -X main.fault=%s", b.name, b.fault)
	said, err := exec.CommandContext(ctx, "go", "build", "-o", b.executable(dir), "-ldflags", symbols, serviceImport).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", b.name, err, said)
	}
	return nil
}

func (b build) executable(dir string) string { return filepath.Join(dir, b.name) }

// install puts the build at path, atomically. Generations that run keep the file that they were started from.
func (b build) install(dir, path string) error {
	next := path + ".next"
	if err := os.Link(b.executable(dir), next); err != nil {
		return err
	}
	return os.Rename(next, path)
}

package builds

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestHeldBuildRunsAfterItsNameIsGone(t *testing.T) {
	path := deploy(t)
	b, err := Hold(path)
	must(t, err)
	must(t, os.Remove(path))
	must(t, os.WriteFile(path, []byte("garbage"), 0o755))
	wantRuns(t, b)
	must(t, b.Verify())
	if !b.Held() || b.Origin != path || b.Go.Module != "github.com/handover-go/handover" {
		t.Errorf("%+v", b)
	}
	kept, err := newStore(t, Config{}).Put(b.Path)
	must(t, err)
	if kept.Digest != b.Digest || kept.Size != b.Size {
		t.Errorf("%+v\n%+v", b, kept)
	}
	must(t, b.Release())
	if _, err := os.Stat(b.Path); err == nil {
		t.Errorf("%s is still there", b.Path)
	}
}

func TestHeldBuildThatWasChangedInPlaceIsTold(t *testing.T) {
	path := file(t, "server", "one")
	b, err := Hold(path)
	must(t, err)
	defer func() { must(t, b.Release()) }()
	must(t, os.WriteFile(path, []byte("two"), 0o755))
	if err := b.Verify(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func TestScriptIsNotHeld(t *testing.T) {
	if _, err := Hold(file(t, "run.sh", "#!/bin/sh\n")); err == nil || !strings.Contains(err.Error(), "script") {
		t.Errorf("got %v", err)
	}
}

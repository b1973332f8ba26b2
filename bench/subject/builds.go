package subject

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Builds are the programs of all subjects.
type Builds struct {
	dir    string
	keeper string // the command handover
}

// Build builds them below dir, which the caller owns.
func Build(ctx context.Context, dir string) (*Builds, error) {
	module, err := goTool(ctx, "", "list", "-m", "-f", "{{.Dir}}", "github.com/handover-go/handover/bench")
	if err != nil {
		return nil, err
	}
	b := &Builds{dir: filepath.Join(dir, "services"), keeper: filepath.Join(dir, "keeper", "handover")}
	for _, d := range []string{b.dir, filepath.Dir(b.keeper)} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	if _, err := goTool(ctx, module, "build", "-o", b.dir, "./service/..."); err != nil {
		return nil, err
	}
	if _, err := goTool(ctx, filepath.Join(module, "..", "host"), "build", "-o", b.keeper, "./cmd/handover"); err != nil {
		return nil, err
	}
	return b, nil
}

func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}

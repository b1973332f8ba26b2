package cli

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/internal/wire"
)

func (a *app) version() *cli.Command {
	return &cli.Command{
		Name: "version", Usage: "say which version of handover this is", Flags: []cli.Flag{outputFlag("text")},
		Action: func(_ context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			v := ownVersion()
			if asJSON(c) {
				return writeJSON(a.stdout, v)
			}
			_, err := fmt.Fprintf(a.stdout, "handover %s\ncommit   %s\ngo       %s\nprotocol %s\n", v.Version, v.Commit, v.Go, v.Protocol)
			return err
		},
	}
}

type version struct {
	Version  string     `json:"version"`
	Commit   string     `json:"commit"` // with "+dirty" if the tree had changes
	Go       string     `json:"go"`
	Protocol wire.Range `json:"protocol"`
}

func ownVersion() version {
	v := version{Version: "unknown", Commit: "unknown", Protocol: wire.Protocols}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	v.Version, v.Go = cmp.Or(info.Main.Version, v.Version), info.GoVersion
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v.Commit += "+dirty" // the revision comes before it
		}
	}
	return v
}

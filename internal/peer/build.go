package peer

import (
	"runtime/debug"

	"github.com/handover-go/handover/internal/wire"
)

// OwnBuild is what the linker knows of this program.
func OwnBuild() (b wire.Build) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b = wire.Build{Path: info.Path, Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = s.Value
		}
	}
	return b
}

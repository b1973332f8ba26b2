// Package count says how often tests repeat what they repeat.
package count

import "os"

// Full reports whether counts are to be those of a release: with HANDOVER_COUNT=full.
func Full() bool { return os.Getenv("HANDOVER_COUNT") == "full" }

// Of returns few, or all with HANDOVER_COUNT=full.
func Of(few, all int) int {
	if Full() {
		return all
	}
	return few
}

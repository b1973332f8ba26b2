//go:build !linux

package platform

// Expendable is of Linux alone.
func Expendable(int) (restore func(), err error) { return nil, unsupported("oom_score_adj") }

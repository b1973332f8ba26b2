package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is what the figures were made on.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	average, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%d processors (%s), %s %s, %s; load average at the end %s", runtime.NumCPU(), model, runtime.GOOS,
		bytes.TrimSpace(kernel), runtime.Version(), average)
}

// Package clock makes a program whose wall clock jumps when a test says so, and that of all its generations at the same instant. The
// machine's stays as it is, and the monotonic clock of the program too, as when a person sets the time (clock_gettime(2)).
//
// Go asks the clock without a system call, so that nothing from outside (libfaketime) comes between. A program that imports this
// package, and is built with the flags of [Flags], has a package time of its own.
package clock

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Variable names the file in the environment of the program.
const Variable = "HANDOVER_TEST_CLOCK"

// Wall is the wall clock of the programs that share a file.
type Wall struct {
	path  string
	ahead int64 // seconds
}

// NewWall makes one in a directory. It is right.
func NewWall(dir string) (*Wall, error) {
	w := &Wall{path: filepath.Join(dir, "clock")}
	return w, w.Jump(0)
}

// Env is what is to be added to the environment of the programs.
func (w *Wall) Env() string { return Variable + "=" + w.path }

// Jump sets the clock, to the second, by d forward or back.
func (w *Wall) Jump(d time.Duration) error {
	w.ahead += int64(d / time.Second)
	file, err := os.OpenFile(w.path, os.O_WRONLY|os.O_CREATE, 0o600) // the programs have it mapped: it stays the same file
	if err != nil {
		return err
	}
	_, err = file.Write(binary.NativeEndian.AppendUint64(nil, uint64(w.ahead)))
	return errors.Join(err, file.Close())
}

// Flags are for "go build". They name files in a directory, which are made.
func Flags(dir string) ([]string, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, err
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	const reads = "sec, nsec, mono := runtimeNow()\n"
	before, after, found := strings.Cut(string(text), reads)
	if !found {
		return nil, errors.New("package time does not read the clock as it did")
	}
	changed := before + reads + "\tif Ahead != nil {\n\t\tsec += *Ahead\n\t}\n" + after + "\n// Ahead is by how many seconds Now is.\nvar Ahead *int64\n"
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {source: filepath.Join(dir, "time.go")}})
	if err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"time.go": []byte(changed), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return []string{"-race=false", "-tags", "jumpingclock", "-overlay", filepath.Join(dir, "overlay.json")}, nil
}

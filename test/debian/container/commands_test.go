//go:build debian

package container

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/handover-go/handover/test/docs"
)

// There is no Docker where the tests run: what it is to execute is executed by runc, and of the rest bash is asked whether it
// understands it.
func TestCommandsForContainersWork(t *testing.T) {
	blocks, err := docs.Commands(operations, "docker")
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, nil)
	c.deploy("v2")
	executed := 0
	for _, b := range blocks {
		if said, err := exec.Command("bash", "-n", "-c", b.Text).CombinedOutput(); err != nil {
			t.Errorf("%s:%d: %v: %s", operations, b.Line, err, said)
		}
		for line := range strings.Lines(b.Text) {
			if command, ok := strings.CutPrefix(line, "docker exec shop "); ok {
				t.Log(c.exec(strings.Fields(command)...))
				executed++
			}
		}
	}
	if executed == 0 {
		t.Errorf("%s has no docker exec", operations)
	}
	c.stop()
}

//go:build debian

package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	repository    = "../../.."
	containerfile = repository + "/deploy/container/Containerfile"
)

// There is nobody here to build the image. What is said to be process 1 in it is what every other test runs, by the words of the documents
// and under runc; the rest is held to the tree.
func TestImageRunsTheKeeperAsTheDocumentsDo(t *testing.T) {
	text, err := os.ReadFile(containerfile)
	if err != nil {
		t.Fatal(err)
	}
	words := map[string][]string{} // of an instruction, as it was given last
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] != "#" {
			words[fields[0]] = fields[1:]
		}
	}
	var process1 []string
	if err := json.Unmarshal([]byte(strings.Join(words["ENTRYPOINT"], " ")), &process1); err != nil {
		t.Fatalf("ENTRYPOINT is not in the exec form: %v", err)
	}
	documented := entrypoint(t)
	if len(documented) <= len(process1) || !slices.Equal(documented[:len(process1)], process1) {
		t.Errorf("process 1 is %q, and %q in %s", process1, documented, operations)
	}
	copied := words["COPY"]
	if len(copied) != 3 || copied[2] != process1[0] {
		t.Errorf("the last COPY is %q, and process 1 %q", copied, process1[0])
	}
	built := words["RUN"]
	if i := slices.Index(built, "-o"); i < 0 || copied[1] != built[i+1] {
		t.Errorf("%q is built and %q copied", built, copied)
	}
	if _, err := os.Stat(filepath.Join(repository, built[len(built)-1])); err != nil {
		t.Error(err)
	}
	if !slices.Contains(built, "CGO_ENABLED=0") || !slices.Equal(words["FROM"], []string{"scratch"}) {
		t.Errorf("a program with %q in an image from %q", built, words["FROM"])
	}
}

package arch

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryPackageSaysWhatItPromises(t *testing.T) {
	said := map[string]bool{}
	for _, f := range goFiles(t) {
		said[f.dir()] = said[f.dir()] || strings.TrimSpace(f.Doc.Text()) != ""
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("%s: no file has a package comment", dir)
		}
	}
}

func TestEveryModuleIsInTheWorkspace(t *testing.T) {
	work, err := os.ReadFile(filepath.Join(repository, "go.work"))
	if err != nil {
		t.Fatal(err)
	}
	for _, depth := range []string{"*/go.mod", "*/*/go.mod"} {
		found, err := fs.Glob(os.DirFS(repository), depth)
		if err != nil {
			t.Fatal(err)
		}
		for _, mod := range found {
			if dir := path.Dir(mod); !strings.Contains(string(work), "./"+dir+"\n") {
				t.Errorf("go.work does not use ./%s", dir)
			}
		}
	}
}

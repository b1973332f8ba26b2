package arch

import (
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// document is a page that people read.
type document struct{ path, text string }

// documents reads every page of the tree, leaving out hidden folders and testdata.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	err := fs.WalkDir(os.DirFS(repository), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if base := entry.Name(); entry.IsDir() && (base == "testdata" || name != "." && strings.HasPrefix(base, ".")) {
			return fs.SkipDir
		}
		if path.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(filepath.Join(repository, name))
		all = append(all, document{name, string(text)})
		return err
	})
	if err != nil {
		t.Fatalf("read the documents: %v", err)
	}
	return all
}

// example is a name that shows how tests are named.
var example = map[string]bool{"TestSuccessorKilledInProbationLosesNoConnection": true}

func TestTestsNamedInDocumentsExist(t *testing.T) {
	exist := map[string]bool{}
	for _, f := range goFiles(t) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.isTest() {
				exist[fn.Name.Name] = true
			}
		}
	}
	for _, d := range documents(t) {
		for _, name := range testName.FindAllString(d.text, -1) {
			if !exist[name] && !example[name] {
				t.Errorf("%s: there is no test %s", d.path, name)
			}
		}
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	fragment = regexp.MustCompile(`[^a-z0-9 -]`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

func TestLinksInDocumentsLeadSomewhere(t *testing.T) {
	for _, d := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(d.text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := d.path
			if m[1] != "" {
				target = path.Join(path.Dir(d.path), m[1])
			}
			text, err := os.ReadFile(filepath.Join(repository, target))
			if info, statErr := os.Stat(filepath.Join(repository, target)); statErr == nil && info.IsDir() && m[2] == "" {
				continue
			}
			if err != nil {
				t.Errorf("%s: link to %s: %v", d.path, m[0], err)
				continue
			}
			if m[2] != "" && !hasHeading(string(text), m[2][1:]) {
				t.Errorf("%s: link to %s: no such heading", d.path, m[0])
			}
		}
	}
}

func hasHeading(text, anchor string) bool {
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		if strings.ReplaceAll(fragment.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-") == anchor {
			return true
		}
	}
	return false
}

var target = regexp.MustCompile("(?:`|^)make ([a-z-]+)")

func TestTargetsNamedInDocumentsExist(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(repository, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents(t) {
		for line := range strings.Lines(d.text) {
			for _, m := range target.FindAllStringSubmatch(line, -1) {
				if !strings.Contains(string(makefile), "\n"+m[1]+":") {
					t.Errorf("%s: there is no make %s", d.path, m[1])
				}
			}
		}
	}
}

var block = regexp.MustCompile("(?s)```ini\n(.*?)```")

// The README shows a part of the unit that deploy has in full.
func TestUnitInTheReadmeIsThatOfDeploy(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join(repository, "deploy/systemd/handover-alone.service"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(repository, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := block.FindStringSubmatch(string(readme))
	if found == nil {
		t.Fatal("README.md shows no unit")
	}
	for line := range strings.Lines(found[1]) {
		if !strings.Contains(string(unit), "\n"+line) {
			t.Errorf("README.md: not in the unit: %s", line)
		}
	}
}

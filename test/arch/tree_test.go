// Package arch holds the rules of the tree itself: what imports what, what a package says of itself, how tests wait.
// It reads every Go file, whatever its build constraints, where the compiler and the linter see one platform at a time.
package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const repository = "../.."

// file is one Go file of the repository.
type file struct {
	*ast.File
	path string // from the repository's root, with slashes
	fset *token.FileSet
}

// goFiles parses all Go files of all modules, leaving out testdata and hidden folders.
func goFiles(t *testing.T) []file {
	t.Helper()
	var files []file
	err := fs.WalkDir(os.DirFS(repository), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if base := entry.Name(); base == "testdata" || name != "." && strings.HasPrefix(base, ".") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		syntax, err := parser.ParseFile(fset, filepath.Join(repository, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file{File: syntax, path: name, fset: fset})
		return nil
	})
	if err != nil {
		t.Fatalf("read the tree: %v", err)
	}
	if len(files) < 10 {
		t.Fatalf("read the tree: only %d Go files below %s", len(files), repository)
	}
	return files
}

// dir is the file's folder from the repository's root: "." is the root itself.
func (f file) dir() string { return path.Dir(f.path) }

func (f file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f file) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// nameOf is the name by which the file speaks of an imported package, "" if it does not import it.
func (f file) nameOf(importPath string) string {
	for _, spec := range f.Imports {
		if strings.Trim(spec.Path.Value, `"`) != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(importPath)
	}
	return ""
}

// selections yields each expression x.Sel whose x is a plain name.
func (f file) selections() iter.Seq2[string, *ast.SelectorExpr] {
	return func(yield func(string, *ast.SelectorExpr) bool) {
		for n := range ast.Preorder(f.File) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			if x, ok := sel.X.(*ast.Ident); ok && !yield(x.Name, sel) {
				return
			}
		}
	}
}

// explained reports whether a comment stands on the node's line or ends on the line above.
func (f file) explained(n ast.Node) bool {
	line := f.line(n)
	return slices.ContainsFunc(f.Comments, func(c *ast.CommentGroup) bool {
		end := f.fset.Position(c.End()).Line
		return end == line || end == line-1
	})
}

// within reports whether dir is parent or lies below it; the root's own package is "." alone.
func within(dir, parent string) bool {
	return dir == parent || parent != "." && strings.HasPrefix(dir, parent+"/")
}

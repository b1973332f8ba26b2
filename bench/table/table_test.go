package table_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handover-go/handover/bench/table"
)

func TestTableIsAlignedAndEscaped(t *testing.T) {
	tab := table.Table{Columns: []string{"", "µs"}}
	tab.Add("a|b", "10")
	tab.Add("c")
	want := "|      | µs |\n| ---- | -- |\n| a\\|b | 10 |\n| c    |    |\n"
	if got := tab.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestWriteIntoLeavesTheRestAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.md")
	if err := os.WriteFile(path, []byte("# Head\n<!-- begin: written by make bench -->\nold\n<!-- end: written by make bench -->\nfoot\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := table.WriteInto(path, "new\n"); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := "# Head\n<!-- begin: written by make bench -->\n\nnew\n\n<!-- end: written by make bench -->\nfoot\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := os.WriteFile(path, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := table.WriteInto(path, "new\n"); err == nil {
		t.Error("a file without a place for it is written to")
	}
}

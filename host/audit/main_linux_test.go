package audit

import (
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("AUDIT_TEST_WRITER"); path != "" {
		write(path)
		return
	}
	os.Exit(m.Run())
}

// write appends until it is killed, and tells the number of each record that was acknowledged.
func write(path string) {
	l, err := Open(path, Options{MaxSize: 4096})
	for err == nil {
		var r Record
		if r, err = l.Append(record("shop")); err == nil {
			_, err = fmt.Println(r.Seq)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func record(service string) Record {
	return Record{
		Who: Who{Role: "operator", Peer: &Peer{UID: 1000, GID: 1000, PID: 4711}}, From: "unix:/run/agent.sock",
		What:    What{Method: "POST", Route: "/v1/services/{name}/upgrade", Service: service, Args: map[string]string{"source": `a "<b>" & ü`}},
		Outcome: Outcome{Status: 202, Detail: service + "/12"},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// written is the path of a log with so many records.
func written(t testing.TB, n int, o Options) string {
	t.Helper()
	path := t.TempDir() + "/audit.log"
	more(t, path, n, o)
	return path
}

func more(t testing.TB, path string, n int, o Options) {
	t.Helper()
	l, err := Open(path, o)
	must(t, err)
	for range n {
		_, err := l.Append(record("shop"))
		must(t, err)
	}
	must(t, l.Close())
}

package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestHashIsThatOfTheLineWithoutIt(t *testing.T) {
	path := written(t, 2, Options{})
	line, err := exec.Command("sh", "-c", `sed 's/,"hash":"[0-9a-f]*"}$/}/' `+path+` | tail -n 1 | tr -d '\n' | sha256sum`).Output()
	must(t, err)
	report, err := Verify(path, Expectation{})
	must(t, err)
	if report.Head.Seq != 2 || !strings.HasPrefix(string(line), report.Head.Hash+" ") {
		t.Errorf("%s is not %s", line, report.Head.Hash)
	}
}

func TestRecordIsReadAsItWasAppended(t *testing.T) {
	path := t.TempDir() + "/audit.log"
	l, err := Open(path, Options{})
	must(t, err)
	defer l.Close()
	before := time.Now()
	r, err := l.Append(record("shop"))
	must(t, err)
	_, err = l.Append(record("chat"))
	must(t, err)
	if r.Seq != 1 || r.Prev != origin.Hash || r.At.Before(before) || r.At.Location() != time.UTC {
		t.Errorf("%+v", r)
	}
	found, err := Read(path, Query{Service: "shop"})
	if err != nil || len(found) != 1 || fmt.Sprintf("%+v", found[0].What) != fmt.Sprintf("%+v", r.What) || found[0].Hash != r.Hash {
		t.Errorf("%+v, %v", found, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestRecordsOfManyAreOneChain(t *testing.T) {
	path := t.TempDir() + "/audit.log"
	l, err := Open(path, Options{MaxSize: 4096})
	must(t, err)
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 12 {
				if _, err := l.Append(record("shop")); err != nil {
					t.Error(err)
				}
				if _, err := Verify(path, Expectation{}); err != nil {
					t.Error(err)
				}
				if _, err := Read(path, Query{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	head := l.Head()
	must(t, l.Close())
	report, err := Verify(path, Expectation{Head: head.Hash})
	if err != nil || report.Records != 48 || report.Head != head || len(report.Files) < 4 {
		t.Errorf("%+v, %v", report, err)
	}
	found, err := Read(path, Query{Limit: 25, Before: 41})
	if err != nil || len(found) != 25 || found[0].Seq != 16 || found[24].Seq != 40 {
		t.Errorf("%d records, %v", len(found), err)
	}
	if _, err := l.Append(record("shop")); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed log: %v", err)
	}
}

// A crash in the midst of a write leaves any part of a line, and the head file with the record before.
func TestRecordTornByACrashIsKeptAndSaid(t *testing.T) {
	whole := written(t, 3, Options{})
	text, err := os.ReadFile(whole)
	must(t, err)
	lines := bytes.SplitAfter(text, []byte("\n"))
	second, _, err := parse(bytes.TrimSpace(lines[1]))
	must(t, err)
	before := len(lines[0]) + len(lines[1])
	path := t.TempDir() + "/audit.log"
	for cut := len(text); cut >= before; cut -= min(41, 1+len(text)-cut) { // closer at the end
		must(t, os.WriteFile(path, text[:cut], 0o600))
		must(t, writeHead(path, Head{2, second.Hash}))
		torn := cut > before && cut < len(text)-1
		if report, err := Verify(path, Expectation{}); err != nil || report.Unfinished != torn {
			t.Fatalf("cut at %d: %+v, %v", cut, report, err)
		}
		more(t, path, 1, Options{})
		report, err := Verify(path, Expectation{})
		if err != nil || report.Torn == 1 != torn {
			t.Fatalf("cut at %d: %+v, %v", cut, report, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(after, text[:cut]) {
			t.Fatalf("cut at %d: what was in the log is there no more", cut)
		}
		if found, err := Read(path, Query{Limit: 2}); torn && (err != nil || found[0].Who.Role != "log" || found[0].Recovered.Torn != cut-before) {
			t.Fatalf("cut at %d: %+v, %v", cut, found, err)
		}
	}
}

func TestRecordTornWhileATornOneIsToldIsKeptToo(t *testing.T) {
	path := written(t, 1, Options{})
	for _, scrap := range []string{`{"seq":2,"at":"20`, "\n{\"seq\":2,\"at\":\"2026-11-21T"} {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		must(t, err)
		_, err = f.WriteString(scrap)
		must(t, errors.Join(err, f.Close()))
	}
	more(t, path, 1, Options{})
	if report, err := Verify(path, Expectation{}); err != nil || report.Torn != 1 || report.Records != 3 {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestAcknowledgedRecordsSurviveAKill(t *testing.T) {
	path := t.TempDir() + "/audit.log"
	last := uint64(0)
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "AUDIT_TEST_WRITER="+path, "GORACE=atexit_sleep_ms=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for i := 0; lines.Scan(); i++ {
			last, err = strconv.ParseUint(lines.Text(), 10, 64)
			must(t, err)
			if i == 2+3*round {
				must(t, cmd.Process.Kill())
			}
		}
		_ = cmd.Wait()
		report, err := Verify(path, Expectation{})
		if err != nil || report.Head.Seq < last || report.Anchor != "head file" {
			t.Fatalf("round %d: %d was acknowledged: %+v, %v", round, last, report, err)
		}
	}
}

func TestFullDiskCostsTheRecordAndIsSaid(t *testing.T) {
	path := written(t, 2, Options{})
	l, err := Open(path, Options{})
	must(t, err)
	defer l.Close()
	info, err := os.Stat(path)
	must(t, err)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	for range 2 {
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(info.Size()) + 40, Max: old.Max}))
		_, err = l.Append(record("shop"))
		must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old))
		if !errors.Is(err, syscall.EFBIG) {
			t.Fatalf("appended beyond the limit: %v", err)
		}
	}
	r, err := l.Append(record("shop"))
	if err != nil || r.Seq != 3 || r.Missed != 2 || r.Recovered == nil || r.Recovered.Torn != 40 {
		t.Fatalf("%+v, %v", r, err)
	}
	if report, err := Verify(path, Expectation{}); err != nil || report.Torn != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestOutcomeThatWasNeverWrittenIsTold by the next who opens the log, once, also where the disk is full then. Guards: readTail, which knows
// what was begun; resume, which tells it.
func TestOutcomeThatWasNeverWrittenIsTold(t *testing.T) {
	path := written(t, 1, Options{}) // which is all of it
	l, err := Open(path, Options{})
	must(t, err)
	append1 := func(r Record) uint64 {
		t.Helper()
		r, err := l.Append(r)
		must(t, err)
		return r.Seq
	}
	begins := record("shop")
	begins.Outcome = Outcome{}
	ended := record("shop")
	ended.Of = append1(begins)
	lost := append1(begins)
	append1(ended)
	must(t, l.Close())
	if _, err := l.Append(Record{Of: lost}); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}

	info, err := os.Stat(path)
	must(t, err)
	l = full(t, info.Size()+40, func() (*Log, error) { return Open(path, Options{}) })
	r, err := l.Append(begins)
	if err != nil || r.Recovered == nil || r.Recovered.Torn != 40 || !slices.Equal(r.Recovered.Unanswered, []uint64{lost}) {
		t.Fatalf("%+v, %+v, %v", r, r.Recovered, err)
	}
	must(t, l.Close())
	l, err = Open(path, Options{})
	must(t, err)
	found, err := Read(path, Query{Limit: 1})
	if err != nil || found[0].Who.Role != "log" || !slices.Equal(found[0].Recovered.Unanswered, []uint64{r.Seq}) ||
		!strings.Contains(found[0].Outcome.Error, fmt.Sprint(r.Seq)) {
		t.Fatalf("%+v, %v", found, err)
	}
	must(t, l.Close())
	more(t, path, 0, Options{})
	if report, err := Verify(path, Expectation{}); err != nil || report.Head.Seq != found[0].Seq {
		t.Errorf("%+v, %v", report, err)
	}
}

// full opens a log while no file of this process can become longer than so many bytes.
func full(t *testing.T, size int64, open func() (*Log, error)) *Log {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var old syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old))
	must(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(size), Max: old.Max}))
	l, err := open()
	must(t, errors.Join(err, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old)))
	return l
}

func TestWhatIsNoLogIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Symlink("elsewhere", dir+"/link"))
	must(t, syscall.Mkfifo(dir+"/fifo", 0o600))
	for _, path := range []string{dir, dir + "/link", dir + "/fifo", dir + "/missing/audit.log"} {
		if _, err := Open(path, Options{}); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
	if _, err := Open(dir+"/audit.log", Options{MaxSize: 1}); err == nil {
		t.Error("a file of one byte")
	}
	large := record(strings.Repeat("s", MaxRecord))
	if _, err := large.Line(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

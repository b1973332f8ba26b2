package journal

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const writerVariable = "JOURNAL_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerVariable); path != "" {
		fmt.Fprintln(os.Stderr, write(path))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// write goes on with what was under way, and on, and tells each step when it was acknowledged, until it is killed.
func write(path string) error {
	j, err := Open(path)
	if err != nil {
		return err
	}
	left, err := j.Unfinished()
	if err != nil {
		return err
	}
	for {
		var u Upgrade
		if len(left) > 0 {
			u, left = left[0], nil
		} else if u, _, err = j.Begin(Upgrade{Service: "shop", Kind: "upgrade", Began: noon, State: "0"}); err != nil {
			return err
		} else {
			fmt.Printf("%d 0\n", u.Number)
		}
		for n := len(u.Steps); n < 6; n++ {
			if err := j.Step("shop", u.Number, Step{State: fmt.Sprint(n), At: noon}, nil); err != nil {
				return err
			}
			fmt.Printf("%d %d\n", u.Number, n)
		}
		if err := j.End("shop", u.Number, Step{State: "6", At: noon}, nil); err != nil {
			return err
		}
		fmt.Printf("%d 6\n", u.Number)
	}
}

func TestWhatWasAcknowledgedIsThereInOrderAfterAKill(t *testing.T) {
	rounds := 5
	if os.Getenv("HANDOVER_COUNT") == "full" {
		rounds = 300
	}
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	path := filepath.Join(t.TempDir(), "journal.db")
	var last position
	for range rounds {
		last = killed(t, path, 1+random.IntN(40), time.Duration(random.IntN(3000))*time.Microsecond, last)
		j, err := Open(path)
		must(t, err)
		at := check(t, j)
		must(t, j.Close())
		// One step more may be on disk: its acknowledgement was cut off.
		if at != last && at != last.next() {
			t.Fatalf("acknowledged to %v, on disk to %v", last, at)
		}
		last = at
	}
}

// position is how far a writer has come.
type position struct {
	number uint64
	step   int
}

func (p position) next() position {
	if p.number == 0 || p.step == 6 {
		return position{p.number + 1, 0}
	}
	return position{p.number, p.step + 1}
}

// killed runs a writer, and kills it some time after so many acknowledgements. It returns the last one.
func killed(t *testing.T, path string, after int, pause time.Duration, last position) position {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerVariable+"="+path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var timer *time.Timer
	lines := bufio.NewScanner(out)
	for n := 1; lines.Scan(); n++ {
		var p position
		if _, err := fmt.Sscanf(lines.Text(), "%d %d", &p.number, &p.step); err != nil || p != last.next() {
			t.Errorf("after %v it acknowledged %q, %v", last, lines.Text(), err)
		}
		if last = p; n == after {
			timer = time.AfterFunc(pause, func() { _ = cmd.Process.Kill() })
		}
	}
	err = cmd.Wait()
	if timer == nil || stderr.Len() > 0 {
		t.Fatalf("ended by itself: %v\n%s", err, stderr.String())
	}
	return last
}

// check finds every upgrade whole, and only the last without an end, and returns how far it is.
func check(t *testing.T, j *Journal) position {
	t.Helper()
	all, err := j.History("shop", 0)
	must(t, err)
	for i, u := range all {
		for n, s := range u.Steps {
			if s.State != fmt.Sprint(n) {
				t.Errorf("%d: step %d is %q", u.Number, n, s.State)
			}
		}
		if u.Number != all[0].Number-uint64(i) || i > 0 && (len(u.Steps) != 7 || !u.over()) {
			t.Errorf("%d: %d steps, over: %t", u.Number, len(u.Steps), u.over())
		}
	}
	unfinished, err := j.Unfinished()
	must(t, err)
	if under := !all[0].over(); (len(unfinished) == 1) != under {
		t.Errorf("the last is under way: %t, unfinished: %+v", under, unfinished)
	}
	return position{all[0].Number, len(all[0].Steps) - 1}
}

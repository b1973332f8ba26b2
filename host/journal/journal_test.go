package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func opened(t *testing.T, path string, keep int) *Journal {
	t.Helper()
	j, err := open(path, keep, migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, j.Close()) })
	return j
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func began(t *testing.T, j *Journal, service, key string) uint64 {
	t.Helper()
	u, begun, err := j.Begin(Upgrade{Service: service, Kind: "upgrade", Key: key, Began: noon, State: "planned"})
	if err != nil || !begun {
		t.Fatalf("begun: %t, %v", begun, err)
	}
	return u.Number
}

func ended(t *testing.T, j *Journal, service string, number uint64) {
	t.Helper()
	must(t, j.End(service, number, Step{State: "kept", At: noon.Add(time.Minute), Detail: "all was well"}, json.RawMessage(`{"p":0.5}`)))
}

func TestUpgradeIsReadAsItWasRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := Open(path)
	must(t, err)
	number := began(t, j, "shop", "")
	must(t, j.Step("shop", number, Step{"baking", noon.Add(time.Second), "1.2.0"}, func(u *Upgrade) {
		u.BakeUntil, u.Number, u.Steps = noon.Add(time.Hour), 1000, nil
	}))
	must(t, j.SetDesired(Desired{Service: "shop", Running: true, Release: "1.2.0-abc", Keeper: Process{PID: 7, StartTime: 99}}))
	must(t, j.Close())

	j = opened(t, path, Kept)
	want := Upgrade{
		Service: "shop", Number: 1, Kind: "upgrade", Began: noon, State: "baking", BakeUntil: noon.Add(time.Hour),
		Steps: []Step{{"planned", noon, ""}, {"baking", noon.Add(time.Second), "1.2.0"}},
	}
	unfinished, err := j.Unfinished()
	if err != nil || !reflect.DeepEqual(unfinished, []Upgrade{want}) {
		t.Fatalf("unfinished: %+v, %v, want %+v", unfinished, err, want)
	}
	ended(t, j, "shop", number)
	want.State, want.Ended, want.Reason, want.Evidence = "kept", noon.Add(time.Minute), "all was well", json.RawMessage(`{"p":0.5}`)
	want.Steps = append(want.Steps, Step{"kept", want.Ended, want.Reason})
	got, err := j.Upgrade("shop", number)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("ended: %+v, %v, want %+v", got, err, want)
	}
	if unfinished, err := j.Unfinished(); err != nil || len(unfinished) != 0 {
		t.Errorf("still unfinished: %+v, %v", unfinished, err)
	}
	if d, err := j.Desired(); err != nil || len(d) != 1 || d[0] != (Desired{Service: "shop", Running: true, Release: "1.2.0-abc", Keeper: Process{7, 99, j.boot}}) {
		t.Errorf("desired: %+v, %v", d, err)
	}
}

// TestProcessOfAnEarlierBootIsNoneOfThisOne: its number and its time may be those of another by now, which would be awaited in its place. One
// that an older agent has recorded, without the boot, is taken for what it is. Guard: Desired, which compares.
func TestProcessOfAnEarlierBootIsNoneOfThisOne(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "journal.db"), Kept)
	keeper := func() Process {
		t.Helper()
		d, err := j.Desired()
		if err != nil || len(d) != 1 || !d[0].Running {
			t.Fatalf("%+v, %v", d, err)
		}
		return d[0].Keeper
	}
	if j.boot == "" {
		t.Fatal("this boot has no name")
	}
	this := j.boot
	must(t, j.SetDesired(Desired{Service: "shop", Running: true, Keeper: Process{PID: 7, StartTime: 99}}))
	if got := keeper(); got != (Process{7, 99, this}) {
		t.Errorf("of this boot: %+v", got)
	}
	j.boot = "another"
	if got := keeper(); got != (Process{}) {
		t.Errorf("of another: %+v", got)
	}
	must(t, j.SetDesired(Desired{Service: "shop", Running: true, Keeper: keeper()}))
	must(t, j.SetDesired(Desired{Service: "shop", Running: true, Keeper: Process{PID: 7, StartTime: 99}}))
	j.boot = "" // the kernel does not tell
	if got := keeper(); got.PID != 7 {
		t.Errorf("nobody knows of which: %+v", got)
	}
	must(t, j.SetDesired(Desired{Service: "shop", Running: true, Keeper: Process{PID: 7, StartTime: 99}}))
	j.boot = this
	if got := keeper(); got != (Process{PID: 7, StartTime: 99}) {
		t.Errorf("without a boot: %+v", got)
	}
}

func TestAskingAgainWithTheSameKeyBeginsNothing(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "journal.db"), Kept)
	first := began(t, j, "shop", "request-1")
	for range 2 {
		u, begun, err := j.Begin(Upgrade{Service: "shop", Key: "request-1", Began: noon})
		if err != nil || begun || u.Number != first {
			t.Errorf("begun: %t, number %d, %v", begun, u.Number, err)
		}
	}
	ended(t, j, "shop", first)
	if u, begun, err := j.Begin(Upgrade{Service: "shop", Key: "request-1", Began: noon}); err != nil || begun || u.State != "kept" {
		t.Errorf("after its end: begun: %t, %+v, %v", begun, u, err)
	}
	if other := began(t, j, "chat", "request-1"); other != 1 {
		t.Errorf("of another service: number %d", other)
	}
}

func TestOneUpgradeOfAServiceIsUnderWay(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "journal.db"), Kept)
	first := began(t, j, "shop", "")
	if u, begun, err := j.Begin(Upgrade{Service: "shop", Began: noon}); !errors.Is(err, ErrUnfinished) || begun || u.Number != first {
		t.Errorf("begun: %t, number %d, %v", begun, u.Number, err)
	}
	began(t, j, "chat", "")
	ended(t, j, "shop", first)
	if err := j.Step("shop", first, Step{State: "baking"}, nil); !errors.Is(err, ErrEnded) {
		t.Errorf("a step after the end: %v", err)
	}
	if err := j.Step("shop", 9, Step{State: "baking"}, nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("a step of none: %v", err)
	}
	if second := began(t, j, "shop", ""); second != first+1 {
		t.Errorf("number %d after %d", second, first)
	}
}

func TestOldestAreDroppedWithTheirKeysAndNoNumberIsGivenTwice(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "journal.db"), 3)
	for n := range 10 {
		ended(t, j, "shop", began(t, j, "shop", fmt.Sprint(n)))
	}
	began(t, j, "shop", "")
	all, err := j.History("shop", 0)
	must(t, err)
	numbers := []uint64{}
	for _, u := range all {
		numbers = append(numbers, u.Number)
	}
	if !reflect.DeepEqual(numbers, []uint64{11, 10, 9}) {
		t.Errorf("kept %v", numbers)
	}
	if two, err := j.History("shop", 2); err != nil || len(two) != 2 || two[0].Number != 11 {
		t.Errorf("the last two: %+v, %v", two, err)
	}
	ended(t, j, "shop", 11)
	if again := began(t, j, "shop", "0"); again != 12 {
		t.Errorf("a key that was dropped began number %d", again)
	}
}

// TestKeyThatIsFreedIsThatOfTheNextUpgrade, whatever becomes of the one before: it fails if what is dropped takes the key of a later one along.
func TestKeyThatIsFreedIsThatOfTheNextUpgrade(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "journal.db"), 2)
	must(t, j.Free("shop", "key"))
	first := began(t, j, "shop", "key")
	if err := j.Free("shop", "key"); !errors.Is(err, ErrUnfinished) {
		t.Errorf("of one under way: %v", err)
	}
	ended(t, j, "shop", first)
	must(t, j.Free("shop", "key"))
	second := began(t, j, "shop", "key")
	ended(t, j, "shop", second)
	ended(t, j, "shop", began(t, j, "shop", "")) // which drops the first
	if _, err := j.Upgrade("shop", first); !errors.Is(err, ErrUnknown) {
		t.Errorf("the first: %v", err)
	}
	if u, begun, err := j.Begin(Upgrade{Service: "shop", Key: "key", Began: noon}); err != nil || begun || u.Number != second {
		t.Errorf("begun: %t, number %d, %v", begun, u.Number, err)
	}
}

func TestForgottenServiceLeavesNothing(t *testing.T) {
	j := opened(t, filepath.Join(t.TempDir(), "journal.db"), Kept)
	began(t, j, "shop", "key")
	began(t, j, "shop-2", "key")
	must(t, j.SetDesired(Desired{Service: "shop"}))
	for range 2 {
		must(t, j.Forget("shop"))
	}
	left, err := j.Unfinished()
	if err != nil || len(left) != 1 || left[0].Service != "shop-2" {
		t.Errorf("left: %+v, %v", left, err)
	}
	if all, err := j.History("shop", 0); err != nil || len(all) != 0 {
		t.Errorf("history: %+v, %v", all, err)
	}
	if n := began(t, j, "shop", "key"); n != 1 {
		t.Errorf("number %d", n)
	}
}

func TestJournalThatIsInUseSaysSo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	opened(t, path, Kept)
	_, err := Open(path)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "stop the other agent") {
		t.Errorf("got %v", err)
	}
}

// Each page is damaged in turn, and the file cut at each: it is opened whole, or refused with what to do, and nothing dies of it.
func TestDamagedJournalIsRefusedWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal.db")
	j, err := Open(path)
	must(t, err)
	for n := range 40 {
		service := fmt.Sprintf("service-%d", n%7)
		ended(t, j, service, began(t, j, service, ""))
	}
	must(t, j.Close())
	whole, err := os.ReadFile(path)
	must(t, err)

	refused := 0
	try := func(what string, text []byte) {
		broken := filepath.Join(dir, "broken.db")
		must(t, os.WriteFile(broken, text, 0o600))
		j, err := Open(broken)
		if err == nil {
			must(t, j.Close())
			return
		}
		refused++
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "move the file away") {
			t.Errorf("%s: %v", what, err)
		}
		must(t, os.Remove(broken)) // what has panicked may hold the lock on it
	}
	page := os.Getpagesize()
	for at := 0; at < len(whole); at += page {
		try(fmt.Sprintf("cut at %d", at+page/2), whole[:at+page/2])
		text := append([]byte(nil), whole...)
		for i := at; i < at+page; i++ {
			text[i] ^= 0xa5
		}
		try(fmt.Sprintf("page at %d", at), text)
	}
	try("text", []byte(strings.Repeat("services:\n", 1000)))
	if refused < 5 {
		t.Errorf("only %d were refused", refused)
	}
}

func TestJournalOfANewerAgentIsRefusedAndOneOfAnOlderMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	j, err := Open(path)
	must(t, err)
	began(t, j, "shop", "")
	must(t, j.Close())

	next := append(migrations[:1:1], func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("more"))
		return err
	})
	failing := append(next[:1:1], func(tx *bbolt.Tx) error {
		return errors.Join(tx.DeleteBucket(upgrades), errors.New("no"))
	})
	if _, err := open(path, Kept, failing); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("a migration that fails: %v", err)
	}
	j, err = open(path, Kept, next)
	must(t, err)
	if left, err := j.Unfinished(); err != nil || len(left) != 1 {
		t.Errorf("after it: %+v, %v", left, err)
	}
	must(t, j.db.View(func(tx *bbolt.Tx) error {
		if got := binary.BigEndian.Uint32(tx.Bucket(meta).Get(schemaKey)); got != 2 || tx.Bucket([]byte("more")) == nil {
			t.Errorf("schema %d", got)
		}
		return nil
	}))
	must(t, j.Close())
	if _, err := Open(path); !errors.Is(err, ErrNewer) {
		t.Errorf("a newer one: %v", err)
	}
}

func TestJournalWithoutADirectorySaysSo(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none", "journal.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

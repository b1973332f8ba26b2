package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	commandline "flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// update never rewrites: a transcript that went out with a release is a promise to peers already running. To change one
// that did not, remove its file first.
var update = commandline.Bool("update", false, "write the golden transcripts that do not exist yet")

// goldenDir holds what protocol 1 looks like.
var goldenDir = filepath.Join("testdata", "golden", "v1")

// transcript is a sequence of frames and its file in goldenDir.
type transcript struct {
	name    string
	about   string
	outcome outcome // of every frame of it
	steps   []step
}

// outcome is what the receiver makes of a frame.
type outcome string

const (
	understood outcome = ""
	skipped    outcome = "The receiver skips these frames and closes their descriptors."
	refused    outcome = "The receiver closes the descriptors and answers ABORT unsupported; the link still works."
)

// step is one frame: who says it to whom (the letters of SPEC.md section 4), and what it means.
type step struct {
	direction   string
	attempt     uint32
	message     Message
	descriptors int
	// raw is the frame of a peer that says what this package cannot; the message is then what is understood of it.
	raw []byte
}

// entry is a line of a file: direction, kind, attempt, descriptors, and the whole frame in hexadecimal digits.
type entry struct {
	direction   string
	kind        string
	attempt     uint32
	descriptors int
	frame       []byte
}

func TestSentFramesAreThoseOfTheTranscripts(t *testing.T) {
	for _, tr := range transcripts() {
		t.Run(tr.name, func(t *testing.T) {
			golden := readTranscript(t, tr)
			if len(golden) != len(tr.steps) {
				t.Fatalf("the file has %d frames, the sequence %d", len(golden), len(tr.steps))
			}
			for i, s := range tr.steps {
				if got := s.entry(t); !reflect.DeepEqual(got, golden[i]) {
					t.Errorf("frame %d\n got %s\nwant %s", i+1, got, golden[i])
				}
			}
		})
	}
}

func TestTranscriptsMeanWhatTheyMeant(t *testing.T) {
	for _, tr := range transcripts() {
		t.Run(tr.name, func(t *testing.T) {
			r := newRig(t)
			fd := 3
			for i, golden := range readTranscript(t, tr) {
				var fds []int
				for range golden.descriptors {
					fds = append(fds, fd)
					fd++
				}
				r.feed(t, golden.frame, fds...)
				if tr.outcome == understood {
					r.want(t, golden.attempt, tr.steps[i].message, fds...)
					continue
				}
				if tr.outcome == refused {
					r.wantError(t, ErrCritical)
				}
				r.feed(t, encoded(t, 0, &Ping{Seq: uint64(i)}, 0))
				r.want(t, 0, &Ping{Seq: uint64(i)})
				for _, fd := range fds {
					if !r.wasClosed(fd) {
						t.Errorf("descriptor %d of frame %d: %q, want closed", fd, i+1, r.fate[fd])
					}
				}
			}
		})
	}
}

func TestEveryTranscriptFileIsChecked(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(goldenDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.ContainsFunc(transcripts(), func(tr transcript) bool { return tr.path() == file }) {
			t.Errorf("%s belongs to no transcript", file)
		}
	}
}

func TestTranscriptsShowEveryKindAndKey(t *testing.T) {
	shown := make(map[string]bool)
	for _, tr := range transcripts() {
		for _, s := range tr.steps {
			if tr.outcome == understood {
				note(reflect.ValueOf(s.message), shown)
			}
		}
	}
	for _, create := range newMessage {
		for _, field := range fields(reflect.TypeOf(create())) {
			if !shown[field] {
				t.Errorf("no transcript shows %s", field)
			}
		}
	}
}

// note marks every type reached from v, and every field that is not zero.
func note(v reflect.Value, shown map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			note(v.Elem(), shown)
		}
	case reflect.Slice:
		for i := range v.Len() {
			note(v.Index(i), shown)
		}
	case reflect.Struct:
		shown[v.Type().Name()] = true
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				shown[v.Type().Name()+"."+v.Type().Field(i).Name] = true
				note(v.Field(i), shown)
			}
		}
	}
}

// fields names t and what can be reached from it, as note does.
func fields(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return fields(t.Elem())
	case reflect.Struct:
		names := []string{t.Name()}
		for i := range t.NumField() {
			names = append(names, t.Name()+"."+t.Field(i).Name)
			names = append(names, fields(t.Field(i).Type)...)
		}
		return names
	default:
		return nil
	}
}

// entry sends the step on a link and takes down what leaves it.
func (s step) entry(t testing.TB) entry {
	t.Helper()
	e := entry{direction: s.direction, attempt: s.attempt, descriptors: s.descriptors, frame: s.raw}
	if s.raw == nil {
		var ignored ledger
		near, far := newPair(ignored.destroy)
		if err := NewLink(near, ignored.close).Send(s.attempt, s.message, make([]int, s.descriptors)...); err != nil {
			t.Fatalf("send %+v: %v", s.message, err)
		}
		p := make([]byte, headerSize+MaxPayload)
		n, fds, _, err := far.Recv(p)
		if err != nil || len(fds) != s.descriptors {
			t.Fatalf("sent %d descriptors, want %d: %v", len(fds), s.descriptors, err)
		}
		e.frame = p[:n]
	}
	h, err := parseHeader(e.frame)
	if err != nil {
		t.Fatal(err)
	}
	e.kind = h.kind.String()
	if newMessage[h.kind] == nil {
		e.kind = strconv.Itoa(int(h.kind))
	}
	return e
}

func (e entry) String() string {
	return fmt.Sprintf("%s %s %d %d %x", e.direction, e.kind, e.attempt, e.descriptors, e.frame)
}

func parseEntry(line string) (entry, error) {
	var e entry
	var digits string
	if _, err := fmt.Sscanf(line, "%s %s %d %d %s", &e.direction, &e.kind, &e.attempt, &e.descriptors, &digits); err != nil {
		return entry{}, err
	}
	var err error
	e.frame, err = hex.DecodeString(digits)
	return e, err
}

func (tr transcript) path() string { return filepath.Join(goldenDir, tr.name+".txt") }

func readTranscript(t testing.TB, tr transcript) []entry {
	t.Helper()
	text, err := os.ReadFile(tr.path())
	if errors.Is(err, os.ErrNotExist) && *update {
		text = tr.render(t)
		err = errors.Join(os.MkdirAll(goldenDir, 0o755), os.WriteFile(tr.path(), text, 0o644))
	}
	if err != nil {
		t.Fatalf("%v (-update writes what is missing)", err)
	}
	var entries []entry
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		e, err := parseEntry(line)
		if err != nil {
			t.Fatalf("%s: %.60q: %v", tr.path(), line, err)
		}
		entries = append(entries, e)
	}
	return entries
}

func (tr transcript) render(t testing.TB) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n", tr.about)
	if tr.outcome != understood {
		fmt.Fprintf(&b, "# %s\n", tr.outcome)
	}
	fmt.Fprintf(&b, "# Columns: direction, kind, attempt, descriptors, frame.\n")
	for _, s := range tr.steps {
		e := s.entry(t)
		fmt.Fprintf(&b, "\n# %s\n%s\n", describe(s, e), e)
	}
	return b.Bytes()
}

// describe says for people what a frame carries.
func describe(s step, e entry) string {
	text := string(e.frame[headerSize:])
	if _, bulk := s.message.(binaryMessage); bulk {
		plain, err := json.Marshal(s.message)
		if err != nil {
			return err.Error()
		}
		text = string(plain) + ", bytes in base64"
	} else if !json.Valid([]byte(text)) {
		text = strconv.Quote(text)
	}
	if e.frame[6]&flagCritical != 0 {
		text = "critical: " + text
	}
	return e.kind + " " + text
}

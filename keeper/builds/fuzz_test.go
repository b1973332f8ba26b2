package builds

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzRecord has anything stand beside an executable. A record that is understood means the same when it is written again.
func FuzzRecord(f *testing.F) {
	for _, text := range []string{
		`{"version":1,"size":4096,"origin":"/srv/web","time":"2026-01-02T03:04:05Z","go":{"module":"example.com/web","modified":true},"privileged":true}`,
		`{"version":1}`, `{"version":0}`, `{"version":2,"size":1}`, `{"version":1,"size":-1}`, `{"version":1,"time":"yesterday"}`, `[]`, ``, "{\"version\":1}\n{}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := decodeRecord(bytes.NewReader(text))
		if err != nil {
			if !strings.Contains(err.Error(), "record") || r != (record{}) {
				t.Fatalf("%+v, %v", r, err)
			}
			return
		}
		first, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(first) > maxRecord {
			return // written with more escapes than it was read
		}
		again, err := decodeRecord(bytes.NewReader(first))
		second, encoded := json.Marshal(again)
		if err != nil || encoded != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s came back as %s, %v", first, second, err)
		}
	})
}

// TestRecordWithoutEndIsReadInPart: the bound on a record is one on memory.
func TestRecordWithoutEndIsReadInPart(t *testing.T) {
	endless := &counting{}
	if _, err := decodeRecord(endless); err == nil || endless.read > 2*maxRecord {
		t.Errorf("%d bytes were read, at most %d: %v", endless.read, maxRecord, err)
	}
}

// counting is a text that does not end.
type counting struct{ read int }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '['
	}
	c.read += len(p)
	return len(p), nil
}

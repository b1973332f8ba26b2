package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MaxRecord bounds a record's line, in bytes.
const MaxRecord = 64 << 10

// ErrTooLarge: a record is longer than MaxRecord.
var ErrTooLarge = errors.New("audit record too large")

// Record is what was asked for once. Who appends it fills Who, From, What and Outcome, and may fill At; the log does the rest.
type Record struct {
	Seq       uint64     `json:"seq"` // from 1, without a gap
	At        time.Time  `json:"at"`  // UTC; when it was appended
	Who       Who        `json:"who"`
	From      string     `json:"from,omitempty"` // unix:PATH of the socket, or tcp:ADDRESS of the client
	What      What       `json:"what"`
	Of        uint64     `json:"of,omitempty"` // number of the record by which this began; 0: it is all there is, or the first
	Outcome   Outcome    `json:"outcome"`
	Repeats   int        `json:"repeats,omitempty"`   // denials of the same caller, left out before this one
	Missed    int        `json:"missed,omitempty"`    // records that could not be written before this one
	Recovered *Recovered `json:"recovered,omitempty"` // what the log found wrong with itself before this record
	Prev      string     `json:"prev"`                // hash of the record before; 64 zeros in the first
	Hash      string     `json:"hash,omitempty"`      // of this record, see Line
}

// Who asked, as the kernel or a verified certificate names him.
type Who struct {
	Role    string `json:"role"`           // viewer, operator, admin; none; log for the log itself
	Peer    *Peer  `json:"peer,omitempty"` // at a unix socket
	Subject string `json:"subject,omitempty"`
}

// Peer is a process at the other end of a unix socket, when it connected.
type Peer struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
	PID int `json:"pid"` // 0 if it is in a PID namespace that cannot be seen into
}

// What was asked for. It holds no secret: who appends leaves them out.
type What struct {
	Method  string            `json:"method"`
	Route   string            `json:"route"`
	Service string            `json:"service,omitempty"`
	Args    map[string]string `json:"args,omitempty"`
}

// Outcome is what came of it.
type Outcome struct {
	Status int    `json:"status"`           // of HTTP; 0: it is about to begin, and a record Of this one tells how it ended
	Code   string `json:"code,omitempty"`   // of the error
	Error  string `json:"error,omitempty"`  // in words
	Detail string `json:"detail,omitempty"` // what was begun, such as shop/12
}

// Recovered is what the log found when it was opened, or could not finish before.
type Recovered struct {
	Torn     int    `json:"torn,omitempty"`     // bytes of an unfinished record, which lie before this one
	SHA256   string `json:"sha256,omitempty"`   // of those bytes
	Missing  *Head  `json:"missing,omitempty"`  // the last record as the head file had it, where the log ends before it
	Replaced bool   `json:"replaced,omitempty"` // the file was moved away while it was open

	// Unanswered are the numbers of records of what was about to begin, whose outcome whoever had the log open before did not write: it was
	// killed, or had closed the log by then.
	Unanswered []uint64 `json:"unanswered,omitempty"`
}

// Head names the last record of a log, and by its hash all before it.
type Head struct {
	Seq  uint64 `json:"seq"` // 0: the log is empty
	Hash string `json:"hash"`
}

// origin is what comes before the first record.
var origin = Head{Hash: hex.EncodeToString(make([]byte, sha256.Size))}

// begins tells whether it is of what was about to begin, and not of how that ended. What the log says of itself is neither.
func (r *Record) begins() bool { return r.Outcome.Status == 0 && r.Who.Role != ofLog }

// ofLog is the role of the log itself.
const ofLog = "log"

const (
	member = `,"hash":"`
	tail   = len(member) + 2*sha256.Size + len(`"}`)
)

// Line is the record as it stands in the log, without the end of the line. Its last member is the hash: the SHA-256, in hexadecimal,
// of the line as it would be without that member. So the bytes decide, and a record of a later version with members that
// this one does not know can be verified.
func (r *Record) Line() ([]byte, error) {
	unsealed := *r
	unsealed.Hash = ""
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(&unsealed); err != nil {
		return nil, fmt.Errorf("encode audit record: %w", err)
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	sum := sha256.Sum256(body)
	r.Hash = hex.EncodeToString(sum[:])
	line := append(body[:len(body)-1], member+r.Hash+`"}`...)
	if len(line) > MaxRecord {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(line), MaxRecord)
	}
	return line, nil
}

// parse reads a line, and tells whether its hash is that of its bytes.
func parse(line []byte) (r Record, intact bool, err error) {
	if len(line) > MaxRecord || !sealed(line) {
		return r, false, errors.New("no record")
	}
	if err := json.Unmarshal(line, &r); err != nil {
		return Record{}, false, fmt.Errorf("decode audit record: %w", err)
	}
	body := append(bytes.Clone(line[:len(line)-tail]), '}')
	sum := sha256.Sum256(body)
	stated := string(line[len(line)-tail+len(member) : len(line)-len(`"}`)])
	return r, stated == hex.EncodeToString(sum[:]) && r.Hash == stated, nil
}

// sealed tells whether a line ends as a whole record does.
func sealed(line []byte) bool {
	return len(line) > tail && bytes.HasPrefix(line[len(line)-tail:], []byte(member)) && bytes.HasSuffix(line, []byte(`"}`))
}

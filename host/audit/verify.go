package audit

import (
	"errors"
	"fmt"
	"slices"
)

// ErrBroken: the log is not as it was written. Report.Faults says where.
var ErrBroken = errors.New("audit log is broken")

// Expectation is what a log is held to besides its own chain. The zero value expects a log that begins with record 1.
type Expectation struct {
	Head string // hash of a record that was noted elsewhere, in hexadecimal; it must be in the log
	From uint64 // number of the first record, where older files were moved away on purpose; 0: 1
}

// Report is what Verify found.
type Report struct {
	Files   []string `json:"files"` // oldest first
	Records int      `json:"records"`
	First   uint64   `json:"first"` // number of the first record; 0: there is none
	Head    Head     `json:"head"`  // the last record
	// Anchor is what the end of the log was held to: given (Expectation.Head), head file, or none, and then records that were
	// cut off the end are not missed.
	Anchor     string  `json:"anchor"`
	Torn       int     `json:"torn,omitempty"`       // unfinished records of crashes, each told by the record behind it
	Unfinished bool    `json:"unfinished,omitempty"` // the last line is no whole record: a crash, or one that is being written
	Faults     []Fault `json:"faults,omitempty"`     // at most 100
}

// Fault is one place where the log is not as it was written.
type Fault struct {
	Kind   string `json:"kind"` // edited, removed, inserted, reordered
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"` // from 1
	Seq    uint64 `json:"seq,omitempty"`
	Detail string `json:"detail"`
}

const maxFaults = 100

// Verify reads the log at path from its oldest file to its newest, and holds it to its chain, to the head file beside it and to e. It
// changes nothing, and may run while the log is written. If there are faults the error wraps ErrBroken, and the report is whole.
func Verify(path string, e Expectation) (Report, error) {
	// The head file is read first, so that a record that is appended meanwhile is no fault.
	noted, headErr := readHead(path)
	all, err := segments(path)
	for err == nil {
		v := newVerifier(e, noted)
		readErr := v.files(path, all)
		now, listErr := segments(path)
		if listErr == nil && !slices.Equal(all, now) {
			all = now // the next file was begun
			continue
		}
		if err = errors.Join(readErr, listErr); err != nil {
			break
		}
		v.finish(noted, headErr)
		if len(v.report.Faults) > 0 {
			err = fmt.Errorf("%w: %s", ErrBroken, v.report.Faults[0])
		}
		return v.report, err
	}
	return Report{}, fmt.Errorf("verify audit log: %w", err)
}

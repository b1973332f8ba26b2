package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Query chooses records. The zero value is the last hundred.
type Query struct {
	Limit   int       // the newest so many, from 1 to 1000; 0: 100
	Before  uint64    // only records with a lower number; 0: all
	Since   time.Time // only records of that instant or later; zero: all
	Service string    // only records that concern it; empty: all
}

const maxLimit = 1000

// Read returns records of the log at path, oldest first, as they stand there: Verify judges them. It may run while the log is
// written. A log that does not exist has none.
func Read(path string, q Query) ([]Record, error) {
	limit := q.Limit
	if limit == 0 {
		limit = 100
	}
	if limit < 1 || limit > maxLimit {
		return nil, fmt.Errorf("read audit log: limit %d: give 1 to %d", limit, maxLimit)
	}
	all, err := segments(path)
	for err == nil {
		found, readErr := q.from(all, limit)
		now, listErr := segments(path)
		if listErr == nil && !slices.Equal(all, now) {
			all = now // the next file was begun
			continue
		}
		if err = errors.Join(readErr, listErr); err == nil {
			return found, nil
		}
	}
	return nil, fmt.Errorf("read audit log: %w", err)
}

// from returns the newest records of all files, oldest first.
func (q Query) from(all []segment, limit int) ([]Record, error) {
	var found []Record
	for _, s := range slices.Backward(all) {
		records, err := q.in(s.path, limit-len(found))
		if err != nil {
			return nil, err
		}
		if found = append(records, found...); len(found) >= limit {
			break
		}
	}
	return found, nil
}

// in returns the newest records of one file, oldest first.
func (q Query) in(path string, limit int) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var found []Record
	err = eachLine(f, func(line []byte, _ bool) error {
		r, _, err := parse(line)
		if err != nil || q.Before > 0 && r.Seq >= q.Before || r.At.Before(q.Since) || q.Service != "" && r.What.Service != q.Service {
			return nil
		}
		if found = append(found, r); len(found) >= 2*limit {
			found = slices.Clone(found[len(found)-limit:])
		}
		return nil
	})
	return found[max(0, len(found)-limit):], err
}

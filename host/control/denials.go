package control

import (
	"sync"
	"time"
)

// denials keeps one caller who is denied over and over from filling the disk with audit records: after the first twenty, he has one
// a second, and that tells how many were left out before it.
type denials struct {
	mu      sync.Mutex
	callers map[string]*bucket
}

// bucket is what one caller has left.
type bucket struct {
	left    float64
	filled  time.Time
	omitted int
}

const (
	bucketSize = 20.0
	maxBuckets = 1024
)

// take tells whether a denial is recorded, and how many before it were not.
func (d *denials) take(caller string, now time.Time) (omitted int, keep bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.callers[caller]
	if b == nil {
		b = d.addLocked(caller, now)
	}
	b.left = min(bucketSize, b.left+now.Sub(b.filled).Seconds())
	b.filled = now
	if b.left < 1 {
		b.omitted++
		return 0, false
	}
	b.left--
	omitted, b.omitted = b.omitted, 0
	return omitted, true
}

func (d *denials) addLocked(caller string, now time.Time) *bucket {
	if d.callers == nil {
		d.callers = map[string]*bucket{}
	}
	if len(d.callers) >= maxBuckets {
		for key, b := range d.callers {
			if b.omitted == 0 && b.left+now.Sub(b.filled).Seconds() >= bucketSize {
				delete(d.callers, key) // a new one would be the same
			}
		}
	}
	if len(d.callers) >= maxBuckets {
		clear(d.callers) // so many at once share what they leave out
	}
	b := &bucket{left: bucketSize, filled: now}
	d.callers[caller] = b
	return b
}

package wire

import (
	"math"
	"math/bits"
	"time"
)

// Stats asks for figures. Requests are counted from the first time that it is asked.
type Stats struct{}

// Figures are those of one generation. Its loop has answered: so it is alive.
type Figures struct {
	Generation  int         `json:"generation"`
	PID         int         `json:"pid"`
	State       string      `json:"state"`
	UptimeMs    int64       `json:"uptime_ms"`
	Goroutines  int         `json:"goroutines"`
	HeapBytes   uint64      `json:"heap_bytes"`            // of objects, dead ones that were not collected yet among them
	RSSBytes    uint64      `json:"rss_bytes,omitempty"`   // resident memory, where the system tells
	Descriptors int         `json:"descriptors,omitempty"` // open, where the system tells
	Connections Connections `json:"connections"`
	Requests    *Requests   `json:"requests,omitempty"` // nil: they were not counted until now
}

// Connections are those that are open, by where their server stands with them.
type Connections struct {
	New      int `json:"new,omitempty"`      // no request yet
	Active   int `json:"active,omitempty"`   // in a request; of HTTP/2, with any stream open
	Idle     int `json:"idle,omitempty"`     // between two
	Hijacked int `json:"hijacked,omitempty"` // the handler has it
	Other    int `json:"other,omitempty"`    // of no server that was attached, as sessions are
}

// Requests are those of servers that were attached, since this generation counts.
type Requests struct {
	SinceMs  int64    `json:"since_ms"`  // milliseconds for which it has counted
	Total    uint64   `json:"total"`     // that have ended
	Errors   uint64   `json:"errors"`    // among them, with a status of 500 or above, or whose handler has panicked
	InFlight int64    `json:"in_flight"` // begun since it counts, and not ended
	Latency  []Bucket `json:"latency,omitempty"`
}

// Bucket is how many requests took so long: those of hijacked connections are in none.
type Bucket struct {
	Index int    `json:"i"` // see BucketLimit
	Count uint64 `json:"n"`
}

// Buckets is the number of buckets. The last has all that took longer than the limit of the one before it, some eleven minutes.
const Buckets = 95

const firstBucket = 64 * time.Microsecond

// bucketLimits are the limits, in nanoseconds.
var bucketLimits = func() (limits [Buckets - 1]int64) {
	for i := range limits {
		limits[i] = int64(math.Round(float64(firstBucket) * math.Pow(2, float64(i)/4)))
	}
	return limits
}()

// BucketLimit is the longest time that is counted in bucket i: 64 µs times 2 to the power of i/4, so that each is 19 % above the one
// before it. The last bucket has no limit: math.MaxInt64.
func BucketLimit(i int) time.Duration {
	if i >= len(bucketLimits) {
		return math.MaxInt64
	}
	return time.Duration(bucketLimits[max(i, 0)])
}

// BucketOf is the bucket of a time.
func BucketOf(d time.Duration) int {
	if d <= firstBucket {
		return 0
	}
	octave := bits.Len64(uint64(d-1)/uint64(firstBucket)) - 1 // below the limit of bucket 4*(octave+1), or at it
	i := min(4*octave, len(bucketLimits))
	for i < len(bucketLimits) && int64(d) > bucketLimits[i] {
		i++
	}
	return i
}

package wire

import (
	"math"
	"testing"
	"time"
)

func TestBucketsHaveWhatIsUpToTheirLimit(t *testing.T) {
	for i := range Buckets {
		limit := BucketLimit(i)
		if got := BucketOf(limit); got != i {
			t.Errorf("%s is in bucket %d, want %d", limit, got, i)
		}
		if i < Buckets-1 && BucketOf(limit+1) != i+1 {
			t.Errorf("%s is in bucket %d, want %d", limit+1, BucketOf(limit+1), i+1)
		}
	}
	for d, want := range map[time.Duration]int{0: 0, -time.Second: 0, 64 * time.Microsecond: 0, 128 * time.Microsecond: 4, 1024 * time.Microsecond: 16, math.MaxInt64: Buckets - 1} {
		if got := BucketOf(d); got != want {
			t.Errorf("%s is in bucket %d, want %d", d, got, want)
		}
	}
}

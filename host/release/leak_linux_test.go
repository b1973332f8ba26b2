package release

import (
	"testing"

	"github.com/handover-go/handover/internal/leaktest"
)

// However an addition ends, its descriptors and goroutines end with it.
func TestAdditionsLeaveNothingOpen(t *testing.T) {
	w := newWorkshop(t)
	w.large("1.2.0")
	w.sign(w.write("small.tar.zst", zstandard(t, packed(t, program("1.3.0")))), "1.3.0", noTime)
	bad := w.falsify("1.4.0", packed(t, append(program("1.4.0"), hostile["link up"]...)))
	page, url := w.site()
	page.tag = func(int) string { return `"one"` }
	leaktest.Twice(t, func() {
		s := store(t)
		page.breaks.Store(1)
		for _, place := range []string{url + "/large.tar", w.path("small.tar.zst"), bad, url + "/nothing.tar"} {
			_, _ = s.Add(t.Context(), source(t, place), w.policy(), nil) // how it ends is no matter here
		}
		_, err := s.Prune(0)
		w.check(err)
	})
}

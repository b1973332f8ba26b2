package faults

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/certificate"
	"github.com/handover-go/handover/test/internal/control"
)

// TestConcealedServiceOfAnOrdinaryUserIsRolledBack: nobody but root can look into its processes, whose memory holds keys, and it has no keeper, which would
// keep builds. Guard: Offer.Executable; without it the successor may not open what the incumbent runs.
func TestConcealedServiceOfAnOrdinaryUserIsRolledBack(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	certFile, keyFile := certificate.New(t, 1).Put(t, files)
	for _, path := range []string{filepath.Dir(files), files, certFile, keyFile} {
		must(t, os.Chmod(path, 0o755))
	}
	r := startAsCommoner(t, fault{"send", "nothing", "before", "STOP"},
		"ADDR=$address,tls:"+handovertest.FreeAddress(t), "TLS_CERT="+certFile, "TLS_KEY="+keyFile, "LIVETLS=1", "HANDOVER_SEALED="+os.DevNull)
	r.Upgrade(1)
	if reply, err := control.Ask(r.takeover, &wire.Upgrade{Rollback: true}, patience, nil); err != nil || reply.Outcome != "final" {
		t.Fatalf("the rollback is answered %+v, %v", reply, err)
	}
	handovertest.AssertNothingLost(t, r.finish())
}

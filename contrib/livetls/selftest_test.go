package livetls

import "testing"

func TestConnectionMovesWithinAProcess(t *testing.T) {
	if err := selfTest(); err != nil {
		t.Fatal(err)
	}
}

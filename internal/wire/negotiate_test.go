package wire

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestNegotiateChoosesTheHighestProtocolInCommon(t *testing.T) {
	tests := []struct {
		ours, theirs Range
		want         int // 0: none
	}{
		{Range{1, 1}, Range{1, 1}, 1},
		{Range{1, 3}, Range{1, 2}, 2},
		{Range{1, 3}, Range{3, 5}, 3},
		{Range{2, 4}, Range{1, 9}, 4},
		{Range{2, 4}, Range{3, 3}, 3},
		{Range{1, 1}, Range{2, 3}, 0},
		{Range{2, 3}, Range{5, 9}, 0},
		{Range{1, 1}, Range{}, 0},       // a HELLO that names none
		{Range{1, 5}, Range{4, 2}, 0},   // upside down
		{Range{1, 1}, Range{-9, -1}, 0}, // nonsense
		{Range{1, 1}, Range{0, 1 << 30}, 1},
	}
	for _, test := range tests {
		for _, turned := range []bool{false, true} {
			ours, theirs := test.ours, test.theirs
			if turned {
				ours, theirs = theirs, ours
			}
			got, _, err := Negotiate(Hello{Protocol: ours}, Hello{Protocol: theirs})
			if got != test.want || (err != nil) != (test.want == 0) {
				t.Errorf("%v with %v: protocol %d, %v; want %d", ours, theirs, got, err, test.want)
			}
		}
	}
}

func TestRefusalNamesBothRangesAndBothBuilds(t *testing.T) {
	_, features, err := Negotiate(
		Hello{Protocol: Range{1, 1}, Features: Features(), Build: oldBuild},
		Hello{Protocol: Range{2, 3}, Features: Features(), Build: newBuild},
	)
	var unsupported *UnsupportedError
	if !errors.As(err, &unsupported) {
		t.Fatalf("negotiate: %v, want an UnsupportedError", err)
	}
	if unsupported.Ours != (Range{1, 1}) || unsupported.Theirs != (Range{2, 3}) {
		t.Errorf("ranges %v and %v, want 1 and 2 to 3", unsupported.Ours, unsupported.Theirs)
	}
	for _, part := range []string{
		"peer speaks protocol 2 to 3 (example.com/shop v1.5.0 08bc0c6a5d9b)",
		"this process 1 (example.com/shop v1.4.0 9fceb02d0ae5)",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if features != nil {
		t.Errorf("features %q of no protocol", features)
	}
}

func TestBuildWithoutANameCanBeNamed(t *testing.T) {
	for _, test := range []struct {
		build Build
		want  string
	}{
		{Build{}, "unnamed build"},
		{Build{Revision: "4f2a"}, "unnamed build 4f2a"},
		{Build{Path: "example.com/shop", Go: "go1.26.0"}, "example.com/shop"},
	} {
		if got := test.build.String(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.build, got, test.want)
		}
	}
}

func TestOnlyFeaturesThatBothNamedAreUsed(t *testing.T) {
	tests := []struct{ ours, theirs, want []string }{
		{Features(), Features(), Features()},
		{Features(), []string{FeatureRedirect, "teleport", FeatureCarry}, []string{FeatureCarry, FeatureRedirect}},
		{Features(), []string{FeatureConn, FeatureConn}, []string{FeatureConn}},
		{Features(), nil, nil},
		{nil, Features(), nil},
		{[]string{FeatureConn}, []string{FeatureCarry}, nil},
	}
	for _, test := range tests {
		_, got, err := Negotiate(Hello{Protocol: Protocols, Features: test.ours}, Hello{Protocol: Protocols, Features: test.theirs})
		if err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q with %q: %q, %v; want %q", test.ours, test.theirs, got, err, test.want)
		}
	}
}

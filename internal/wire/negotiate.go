package wire

import (
	"fmt"
	"slices"
)

// Protocols is the range this package speaks.
var Protocols = Range{Min: 1, Max: 1}

// The features of protocol 1.
const (
	FeatureCarry      = "carry"
	FeatureConn       = "conn"
	FeaturePreview    = "preview"
	FeatureRedirect   = "redirect"
	FeatureExecutable = "executable"
)

// Features returns those this package knows.
func Features() []string {
	return []string{FeatureCarry, FeatureConn, FeaturePreview, FeatureRedirect, FeatureExecutable}
}

// UnsupportedError says that two speakers cannot understand each other. It names both.
type UnsupportedError struct {
	Reason               string
	Ours, Theirs         Range
	OurBuild, TheirBuild Build
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s: the peer speaks protocol %s (%s), this process %s (%s)",
		e.Reason, e.Theirs, e.TheirBuild, e.Ours, e.OurBuild)
}

// Negotiate chooses what both sides of a link speak: the highest protocol common to both, and the features that both know.
func Negotiate(ours, theirs Hello) (protocol int, features []string, err error) {
	protocol = min(ours.Protocol.Max, theirs.Protocol.Max)
	if protocol < ours.Protocol.Min || protocol < theirs.Protocol.Min {
		return 0, nil, &UnsupportedError{
			Reason: "no protocol in common",
			Ours:   ours.Protocol, Theirs: theirs.Protocol, OurBuild: ours.Build, TheirBuild: theirs.Build,
		}
	}
	features = []string{}
	for _, f := range ours.Features {
		if slices.Contains(theirs.Features, f) {
			features = append(features, f)
		}
	}
	return protocol, features, nil
}

func (r Range) String() string {
	if r.Min == r.Max {
		return fmt.Sprint(r.Min)
	}
	return fmt.Sprintf("%d to %d", r.Min, r.Max)
}

func (b Build) String() string {
	s := b.Path
	if s == "" {
		s = "unnamed build"
	}
	if b.Version != "" {
		s += " " + b.Version
	}
	if b.Revision != "" {
		s += " " + b.Revision[:min(12, len(b.Revision))]
	}
	return s
}

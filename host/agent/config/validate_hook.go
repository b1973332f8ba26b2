package config

import (
	"fmt"
	"net/url"
	"slices"
)

func (v *validation) hook(h *Hook, field string) {
	if len(h.On) == 0 {
		v.fault(field+".on", "", "missing: give phases, such as [before, kept]")
	}
	for i, phase := range h.On {
		at := fmt.Sprintf("%s.on[%d]", field, i)
		v.among(at, phase, phases)
		if slices.Contains(h.On[:i], phase) {
			v.fault(at, fmt.Sprintf("%q", phase), "given twice: leave one out")
		}
	}
	switch {
	case len(h.Exec) > 0 && h.URL != "":
		v.fault(field, "exec and url", "give one of them, and two hooks if both are meant")
	case len(h.Exec) > 0:
		v.program(field+".exec", h.Exec, nil)
	case h.URL != "":
		v.url(field+".url", h.URL, "https", "http")
	default:
		v.fault(field, "", "give exec or url")
	}
	if h.Secret != "" && h.URL == "" {
		v.fault(field+".secret", "", "signs what is sent to a url: leave it out")
	}
	if v.absolute(field+".secret", h.Secret) {
		v.secret(field+".secret", h.Secret)
	}
	if h.Veto && !slices.Equal(h.On, []string{Before}) {
		v.fault(field+".veto", "", "only before the commit can an upgrade be refused: give on: [before]")
	}
	switch {
	case h.Failure == "":
	case !h.Veto:
		v.fault(field+".failure", fmt.Sprintf("%q", h.Failure), "what a hook without veto fails by is ignored: leave it out")
	default:
		v.among(field+".failure", h.Failure, []string{FailureVetoes, FailureIgnored})
	}
}

// host is that of a URL, for a name.
func host(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

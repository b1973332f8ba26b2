package config

import (
	"fmt"
	"slices"
	"strings"
)

// StartOrder is the names of the services in waves: those of one wave can be started at once, when those of the waves before serve. To stop, it is
// read from its end. Services stand in a wave as they stand in the file.
func (c Config) StartOrder() [][]string {
	waves, _ := waves(c.Services)
	return waves
}

// waves also returns those that can never start, as they wait for one another.
func waves(all []Service) (order [][]string, stuck []Service) {
	known, started := map[string]bool{}, map[string]bool{}
	for _, s := range all {
		known[s.Name] = true
	}
	stuck = slices.Clone(all)
	for len(stuck) > 0 {
		var wave []string
		waiting := stuck[:0:0]
		for _, s := range stuck {
			if slices.ContainsFunc(s.After, func(a string) bool { return known[a] && !started[a] }) {
				waiting = append(waiting, s)
				continue
			}
			wave = append(wave, s.Name)
		}
		if len(wave) == 0 {
			return order, stuck
		}
		for _, name := range wave {
			started[name] = true
		}
		order, stuck = append(order, wave), waiting
	}
	return order, nil
}

// order finds names in after that are none, and circles.
func (v *validation) order() {
	for i, s := range v.c.Services {
		for j, name := range s.After {
			at := fmt.Sprintf("services[%d].after[%d]", i, j)
			if _, known := v.names[name]; !known {
				v.fault(at, fmt.Sprintf("%q", name), "there is no such service: "+oneOf(name, v.others(s.Name)))
			}
			if slices.Contains(s.After[:j], name) {
				v.fault(at, fmt.Sprintf("%q", name), "given twice: leave one out")
			}
		}
	}
	for _, stuck := waves(v.c.Services); len(stuck) > 0; _, stuck = waves(stuck) {
		circle := circleOf(stuck)
		first := slices.IndexFunc(v.c.Services, func(s Service) bool { return s.Name == circle[0] })
		v.fault(fmt.Sprintf("services[%d].after", first), strings.Join(append(circle, circle[0]), " after "), "a circle: leave one of them out")
		stuck = slices.DeleteFunc(stuck, func(s Service) bool { return slices.Contains(circle, s.Name) })
	}
}

func (v *validation) others(than string) (names []string) {
	for _, s := range v.c.Services {
		if s.Name != "" && s.Name != than {
			names = append(names, s.Name)
		}
	}
	return names
}

// circleOf follows those that wait, each of which waits for another of them, until one comes twice.
func circleOf(stuck []Service) (path []string) {
	for at := stuck[0]; ; {
		if i := slices.Index(path, at.Name); i >= 0 {
			return path[i:]
		}
		path = append(path, at.Name)
		i := slices.IndexFunc(stuck, func(s Service) bool { return slices.Contains(at.After, s.Name) })
		at = stuck[i]
	}
}

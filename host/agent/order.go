package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/handover-go/handover/host/agent/config"
)

// inEndOrder ends services, each when those of them that come after it have ended, well or not, and returns when the last has. One that does not
// end holds up no other: all errors are joined.
func inEndOrder(all []config.Service, end func(config.Service) error) error {
	ended := map[string]chan struct{}{}
	for _, s := range all {
		ended[s.Name] = make(chan struct{})
	}
	faults := make([]error, len(all))
	var ending sync.WaitGroup
	for i, s := range all {
		ending.Go(func() {
			defer close(ended[s.Name])
			for _, later := range all {
				if slices.Contains(later.After, s.Name) {
					<-ended[later.Name] // there are no circles: the configuration was checked
				}
			}
			faults[i] = end(s)
		})
	}
	ending.Wait()
	return errors.Join(faults...)
}

// suspend ends all services. They start again with the next agent.
func (k *core) suspend(ctx context.Context) error {
	all := k.all()
	return inEndOrder(configured(all), func(s config.Service) error { return all[s.Name].Suspend(ctx) })
}

// configured is how services are kept, by name.
func configured(all map[string]*kept) (services []config.Service) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		services = append(services, all[name].config)
	}
	return services
}

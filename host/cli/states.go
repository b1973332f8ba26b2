package cli

// phrase is a state for people.
type phrase struct {
	text   string
	active bool // clients are answered by the service, if not by this generation
}

// phrases has every state of docs/architecture.md in which a generation can be, and those of a keeper.
var phrases = map[string]phrase{
	"starting":   {"prepares and checks itself", false},
	"serving":    {"serves", true},
	"offering":   {"a successor starts and is given the listeners", true},
	"awaiting":   {"the successor prepares and checks itself", true},
	"freezing":   {"the successor is ready, accepting pauses", true},
	"passing":    {"the last state goes over", true},
	"committed":  {"the successor begins to serve", true},
	"probation":  {"the successor serves on probation", true},
	"reclaiming": {"the successor is being taken back", true},
	"fencing":    {"the successor is being killed", true},
	"aborting":   {"the handover is being aborted", true},
	"draining":   {"another generation serves, connections leave", true},
	"ending":     {"the service ends, requests are finished", false},
	"gone":       {"the generation has ended", false},

	"joining":   {"a successor waits for the offer", true},
	"preparing": {"a successor prepares itself", true},
	"checking":  {"a successor checks itself", true},
	"ready":     {"a successor is ready", true},
	"frozen":    {"a successor takes over the last state", true},
	"proving":   {"serves on probation", true},
	"asking":    {"asks to be taken back", true},
	"returning": {"gives the service back", true},

	"down":      {"no generation runs, the keeper is about to start one", false},
	"upgrading": {"serves, the keeper has started the next beside it", true},
	"ended":     {"ended", false},
}

// explain is what a state means. One that is not known, of a newer build, is its own explanation; whoever can say it is active.
func explain(state string) phrase {
	if p, ok := phrases[state]; ok {
		return p
	}
	return phrase{state, true}
}

package keeper

import "github.com/handover-go/handover/test/internal/client"

func (r *run) dial() *client.Conn {
	r.t.Helper()
	return client.Dial(r.t, r.address, patience)
}

// get asks on a connection of its own.
func (r *run) get(path string) string {
	r.t.Helper()
	return client.Get(r.t, r.address, path, patience)
}

package cli

import "testing"

func TestStateDirIsTheUnitsOrTheUsers(t *testing.T) {
	t.Setenv("STATE_DIRECTORY", "/var/lib/shop:/var/lib/other")
	t.Setenv("XDG_STATE_HOME", "/home/shop/state")
	for _, c := range []struct{ explicit, unit, want string }{
		{"/srv/shop", "/var/lib/shop", "/srv/shop"}, {"", "/var/lib/shop:/var/lib/other", "/var/lib/shop"}, {"", "", "/home/shop/state/handover"},
	} {
		t.Setenv("STATE_DIRECTORY", c.unit)
		if got, err := stateDir(c.explicit); err != nil || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
	}
}

package keeper

import (
	"errors"

	"github.com/handover-go/handover/internal/wire"
)

func (k *Keeper) beginPlain(a *attempt, s stock) { k.failed(a, wire.CodeFailed, errors.ErrUnsupported) }

func (k *Keeper) succeedPlain(a *attempt, s stock) {
	k.failed(a, wire.CodeFailed, errors.ErrUnsupported)
}

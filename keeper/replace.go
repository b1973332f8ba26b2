package keeper

import "github.com/handover-go/handover/internal/wire"

const stateVariable = "HANDOVER_KEEPER_STATE"

func (k *Keeper) replace(answer func(*wire.Reply)) {}

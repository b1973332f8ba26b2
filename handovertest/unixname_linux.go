package handovertest

// abstractSockets: a client of a unix socket can have a name of its own, so
// that a ledger can tell its connections apart (unix(7), "abstract").
const abstractSockets = true

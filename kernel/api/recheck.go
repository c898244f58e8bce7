package api

import "context"

// Rechecked is what a part of a recheck has found.
type Rechecked struct {
	Last     uint64   // local number of the last record, where the next part begins; as given at the end
	Records  int      // that were applied again
	Problems []string // what is stored and does not follow from a record, some of it
}

// RecheckHost is a Host that applies stored records again. Every Host of the kernel is one; a test's may not be.
type RecheckHost interface {
	Host
	// Recheck applies up to n records, in the order in which this node committed them, those after a local number, again to what their past has left, and
	// compares verdict and rows, but not counters, with what is stored. It writes nothing and holds a snapshot meanwhile: take few at a time. Unavailable:
	// the state is being rebuilt.
	Recheck(ctx context.Context, after uint64, n int) (Rechecked, error)
}

// Examiner is an app that has something to say when somebody looks the node over. Examine must be quick.
type Examiner interface {
	App
	Examine() Finding
}

// Finding is what an app says of its health: a name of one word, whether a person should act, what was found, and what to do next.
type Finding struct {
	Name   string
	Failed bool
	Value  string
	Next   string
}

package kernel

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/record"
)

// logView is what gossip reads of this node's records.
type logView struct{ k *Kernel }

func (v logView) reader() *fold.Reader { return v.k.reader("", v.k.log) }

// Heads implements gossip.Log.
func (v logView) Heads(space api.Hash) []gossip.Head {
	r := v.reader()
	defer r.Close()
	var hs []gossip.Head
	for _, a := range r.Advertise(space) {
		hs = append(hs, head(a))
	}
	return hs
}

func head(a fold.Advertised) gossip.Head {
	h := gossip.Head{Feed: a.Feed, Seq: a.Seq, ID: a.ID, Fork: a.Fork, Final: a.Final}
	if a.Fork != 0 {
		h.Alt = a.Alt[:]
	}
	return h
}

// Has implements gossip.Log.
func (v logView) Has(p api.Position) bool {
	r := v.reader()
	defer r.Close()
	return r.Stored(p)
}

// Range implements gossip.Log.
func (v logView) Range(feed api.Hash, from uint64, at api.Position, maxRecords, maxBytes int) ([][]byte, bool) {
	r := v.reader()
	defer r.Close()
	return r.Range(feed, from, at, maxRecords, maxBytes)
}

// Proof implements gossip.Log.
func (v logView) Proof(feed api.Hash) []api.Position {
	r := v.reader()
	defer r.Close()
	return r.Proof(feed)
}

// Founded implements gossip.Log.
func (v logView) Founded(space api.Hash) bool {
	ok, _ := v.founded(space)
	return ok
}

// founded is Founded, and whether that can change.
func (v logView) founded(space api.Hash) (ok, final bool) {
	r := v.reader()
	defer r.Close()
	rec, verdict, ok := r.Lookup(space)
	ok = ok && verdict.Accepted && record.Founds(rec)
	return ok, ok && verdict.Final
}

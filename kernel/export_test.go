package kernel

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
)

// RawOf returns the envelope of a stored record.
func RawOf(k *Kernel, p api.Position) []byte {
	r := fold.NewReader(k.st, "", k.log)
	defer r.Close()
	raws, _ := r.Range(p.Feed, p.Seq, p, 1, 1<<20)
	return raws[0]
}

// GossipKind is gossipKind.
var GossipKind = gossipKind

// GossipReasons are the reasons that gossipKind knows.
var GossipReasons = []string{
	"frame in a space that is not shared", "records that were not asked for",
	"more questions at once than a node needs to ask", "more records than one answer may have",
}

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

package sim

import (
	"fmt"

	"github.com/intercooperative/icn/app/security"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// kindReport is the record in which a node says that a feed is forked, and shows it.
const kindReport = "report"

type report struct {
	_    struct{} `cbor:",toarray"`
	Auth []byte
	A, B []byte
}

// slander lets a dishonest member report as proven that somebody has signed two records for one place.
func (w *World) slander() error {
	z := w.liar(false)
	if z == nil {
		return nil
	}
	t, ok := z.Twist()
	if !ok {
		return nil
	}
	prev, _ := w.end(z, z, security.Topic)
	w.Count("lie-evidence", "%s", z.Name)
	d := api.Draft{Topic: api.Topic{Space: w.Space, Name: security.Topic}, Kind: kindReport, Body: codec.MustMarshal(&report{Auth: t.Auth, A: t.A, B: t.B})}
	if to := w.some(); len(to) > 0 {
		_, _ = z.Forge(d, prev, to...)
	}
	return nil
}

// unproven checks that no report convicts a member who has kept to the rules, on any node.
func (w *World) unproven(n *kerneltest.Node) error {
	r := n.Read("")
	defer r.Close()
	for _, rec := range n.Records() {
		var rep report
		if rec.Topic.Name != security.Topic || rec.Kind != kindReport || codec.Unmarshal(rec.Body, &rep) != nil {
			continue
		}
		if _, v, _ := r.Record(rec.Position()); !v.Accepted {
			continue
		}
		e, err := record.Decode(rep.A)
		if err != nil {
			return fmt.Errorf("%s takes report %v for proven, whose evidence is no record: %w", n.Name, rec.Position(), err)
		}
		for _, m := range w.Nodes() {
			if !m.Liar() && m.Owns(e.Device) {
				return fmt.Errorf("%s takes report %v for a proof that %s signed two records for one place", n.Name, rec.Position(), m.Name)
			}
		}
	}
	return nil
}

package fact

import (
	"context"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Shown is what a Prover shows: rows that are in a state, and by whose word.
type Shown struct {
	Certificate []byte         // for Attest
	Proofs      []api.RowProof // of the rows that were asked for and are there
}

// Prover shows rows of states that witnesses have signed, found among api.Services.
type Prover interface {
	// Show proves rows of the state of the newest checkpoint of a space that stands, and that a position is final there; a zero position is not asked about.
	// NotFound: no checkpoint stands. Conflict: the position is not final there. It takes as long as folding the space.
	Show(ctx context.Context, space api.Hash, rows []api.StateRow, final api.Position) (*Shown, error)
	// Attest is the Attest that goes with it.
	Attest(space api.Hash, g *Genesis, certificate []byte, final api.Position) (*Attested, error)
}

// Attested is what a certificate proves to who believes that of the witnesses of a space no more lie than its genesis allows for.
type Attested struct {
	Number  uint64            `json:"number" doc:"of the checkpoint"`
	Time    time.Time         `json:"time" doc:"of the checkpoint, by its registrar's clock"`
	Records uint64            `json:"records" doc:"that it covers"`
	Digest  api.Hash          `json:"digest" doc:"of the state to which they come"`
	Signed  []api.Key         `json:"signed" doc:"witnesses that have found it"`
	Of      int               `json:"of" doc:"how many witnesses there are"`
	Apps    []api.StateDigest `json:"-"`
}

// Attest checks a certificate of a space, and that it shows a position to be final, if that is not zero. The genesis is what the record that founds the
// space says.
type Attest func(space api.Hash, g *Genesis, certificate []byte, final api.Position) (*Attested, error)

// Has reports whether a proof shows a row to be in the attested state of an app.
func (a *Attested) Has(p *api.RowProof) bool {
	d, ok := p.Digest()
	for _, s := range a.Apps {
		if s.App == p.App {
			return ok && d == s.Digest
		}
	}
	return false
}

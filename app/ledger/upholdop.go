package ledger

import (
	"context"
	"slices"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// DisputeUpholdIn is the input of ledger.dispute.uphold.
type DisputeUpholdIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	ID    api.Hash `json:"id" doc:"Id of the dispute, about a payment of the claimant's: ledger.dispute.list lists them"`
	Back  bool     `json:"back,omitempty" doc:"Take back what you have said before; it has no effect once enough were counted"`
}

// Validate implements api.Validator.
func (in *DisputeUpholdIn) Validate() error { return checkID("id", in.ID) }

func (a *App) disputeUphold(ctx context.Context, call *api.Call, in *DisputeUpholdIn) (*DisputeOut, error) {
	const op = "ledger.dispute.uphold"
	_, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if c, ok := readClaim(r, s, in.ID); ok {
		if _, ok := c.payment(r, s); !ok {
			return nil, api.Refusal(op, notUpheld(&c))
		}
	}
	return a.inTheDispute(ctx, call, op, in.Space, in.ID, api.Hash{}, kindUphold, &upholding{Dispute: in.ID, Back: in.Back})
}

// count says which members uphold the claim, and what it comes to where they are enough and nothing else has decided it.
func (d *Dispute) count(r api.Reader, s *fact.Space, c *complaint) {
	all := upholders(r, s, d.ID)
	if len(all) == 0 {
		return
	}
	members, _ := s.Headcount()
	d.Upheld, d.Members = all[:min(len(all), maxSayings)], int(members)
	if desk, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic); ok {
		if _, _, done := r.Own(desk.from, rowRedressed(c.About)); done { // by another dispute, else that is known
			return
		}
	}
	paid, ok := c.payment(r, s)
	if n := (tallied{Upheld: uint64(len(all)), Members: members}); !n.decided() || !ok || d.Binding || !d.By.IsZero() || slices.Contains(endings, d.State) {
		return
	}
	n := max(0, c.upheld(d.ID, paidTo(paid, c.Against, c.Currency)-givenBack(r, s, paid, c.Against, c.Currency)).Amount)
	d.State, d.Comes, d.Binding = disputeUpheld, &n, true
}

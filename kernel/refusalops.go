package kernel

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/record"
)

// RefusalOut is one refusal, or several alike.
type RefusalOut struct {
	ID     string     `json:"id"`
	Who    []api.DID  `json:"who" doc:"who was refused; these, and nobody but the operator else, may ask why"`
	Action string     `json:"action" doc:"the operation, or what a peer wanted: connect, follow, ask or push"`
	Kind   string     `json:"kind" doc:"refused or rate-limited"`
	Reason api.Reason `json:"reason"`
	First  time.Time  `json:"first"`
	Last   time.Time  `json:"last"`
	Count  uint64     `json:"count"`
}

// RefusalIn names a refusal.
type RefusalIn struct {
	ID string `json:"id" doc:"as the error said it: no- and ten letters and digits" example:"no-abcdefghjk"`
}

// Validate implements api.Validator.
func (in *RefusalIn) Validate() error {
	if !strings.HasPrefix(in.ID, refusalPrefix) || len(in.ID) > 32 {
		return api.Errorf("refusal.explain", api.Invalid, "id %q: want %s and ten letters and digits, as the error said it", clip(in.ID), refusalPrefix)
	}
	return nil
}

// RefusalsIn asks for refusals.
type RefusalsIn struct {
	Who   api.DID `json:"who,omitempty" doc:"only those of a person or a node"`
	Limit int     `json:"limit,omitempty" doc:"how many of the newest, 1 to 500; default 50"`
}

// Validate implements api.Validator.
func (in *RefusalsIn) Validate() error {
	if in.Limit < 0 || in.Limit > 500 {
		return api.Errorf("refusal.list", api.Invalid, "limit %d: want 1 to 500", in.Limit)
	}
	if in.Who != "" {
		_, err := record.ParseDID(string(in.Who))
		return err
	}
	return nil
}

// RefusalList lists refusals, the newest first.
type RefusalList struct {
	Refusals []RefusalOut `json:"refusals"`
}

// PeerRefusalsIn names a peer.
type PeerRefusalsIn struct {
	Node api.DID `json:"node" doc:"node DID of a connected peer"`
}

// Validate implements api.Validator.
func (in *PeerRefusalsIn) Validate() error {
	_, err := record.ParseDID(string(in.Node))
	return err
}

// scopeAllRefusals is what a token must hold to see what was refused to others: the operator's.
const scopeAllRefusals = "refusal:all"

// concerns reports whether a caller may see a refusal: who was refused, and the operator.
func concerns(call *api.Call) func(who []api.DID) bool {
	return func(who []api.DID) bool { return call.Can(scopeAllRefusals) || slices.Contains(who, call.Actor) }
}

func (k *Kernel) refusalOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "refusal.explain", Method: "GET", Path: "/refusals/{id}", Scope: "refusal:read",
			Access: api.AccessOwn, Summary: "Say why something was refused",
		}, k.opExplainRefusal),
		api.Handle(api.Operation{
			Name: "refusal.list", Method: "GET", Path: "/refusals", CLI: "refusal list", Scope: "refusal:read",
			Access: api.AccessOwn, Summary: "List what this node has refused, since it started, and why",
		}, k.opRefusals),
		api.Handle(api.Operation{
			Name: "peer.refusals", Method: "GET", Path: "/peers/refusals", CLI: "peer refusals", Scope: "peer:read",
			Summary: "Ask a connected peer what it has refused to this node, and why",
		}, k.opPeerRefusals),
	}
}

func (k *Kernel) opExplainRefusal(_ context.Context, call *api.Call, in *RefusalIn) (*RefusalOut, error) {
	x, ok := k.refusals.find(in.ID, concerns(call))
	if !ok { // whether it is somebody else's is nobody's business
		return nil, api.Errorf("refusal.explain", api.NotFound, "refusal %s: none of yours here; a node forgets the oldest, and all when it stops", in.ID)
	}
	out := refusalOut(x)
	return &out, nil
}

func (k *Kernel) opRefusals(_ context.Context, call *api.Call, in *RefusalsIn) (*RefusalList, error) {
	may := concerns(call)
	return refusalList(k.refusals.list(cmp.Or(in.Limit, 50), func(who []api.DID) bool {
		return may(who) && (in.Who == "" || slices.Contains(who, in.Who))
	})), nil
}

func refusalOut(x refusal) RefusalOut {
	return RefusalOut{ID: x.id, Who: x.who, Action: x.action, Kind: x.kind.Code(), Reason: x.reason, First: x.first.UTC(), Last: x.last.UTC(), Count: x.count}
}

func refusalList(xs []refusal) *RefusalList {
	out := &RefusalList{Refusals: make([]RefusalOut, len(xs))}
	for i, x := range xs {
		out.Refusals[i] = refusalOut(x)
	}
	return out
}

// kindRefusals asks a node what it has refused to the asker: an empty payload, answered by refusalsForm.
const kindRefusals = "kernel.refusals"

// refusalsAtOnce is how many a node tells a peer, the newest. With maxReasonText and maxReasonInputs they fit into an answer.
const refusalsAtOnce = 16

type refusalsForm struct {
	_        struct{} `cbor:",toarray"`
	Refusals []refusalForm
}

type refusalForm struct {
	_      struct{} `cbor:",toarray"`
	ID     string
	Action string
	Kind   string
	First  uint64 // Unix milliseconds by the answerer's clock, Last too
	Last   uint64
	Count  uint64
	Domain string
	Rule   string
	Text   string
	Remedy string
	Inputs map[string]string
}

// answerRefusals answers a kindRefusals: what concerns the node whose session it came by, or who signed.
func (k *Kernel) answerRefusals(_ time.Time, r *courier.Request) ([]byte, error) {
	var f refusalsForm
	for _, x := range k.refusals.list(refusalsAtOnce, func(who []api.DID) bool { return slices.Contains(who, r.Peer) || slices.Contains(who, r.From) }) {
		f.Refusals = append(f.Refusals, refusalForm{
			ID: x.id, Action: x.action, Kind: x.kind.Code(), First: millis(x.first), Last: millis(x.last), Count: x.count,
			Domain: string(x.reason.Domain), Rule: x.reason.Rule, Text: x.reason.Text, Remedy: x.reason.Remedy, Inputs: x.reason.Inputs,
		})
	}
	return codec.Marshal(&f)
}

func millis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }

func (k *Kernel) opPeerRefusals(ctx context.Context, _ *api.Call, in *PeerRefusalsIn) (*RefusalList, error) {
	if k.net == nil {
		return nil, errNoPeers
	}
	a := k.net.letters.ask(ctx, courier.Question{To: in.Node, Kind: kindRefusals, Sealed: true})
	if a.Err != nil {
		return nil, api.Wrap("peer.refusals", a.Err)
	}
	return decodeRefusals(a.Body, k.selfDID())
}

// decodeRefusals reads a peer's answer; its words are bounded and made safe for a terminal.
func decodeRefusals(body []byte, self api.DID) (*RefusalList, error) {
	var f refusalsForm
	if err := codec.Unmarshal(body, &f); err != nil || len(f.Refusals) > refusalsAtOnce {
		return nil, api.Errorf("peer.refusals", api.Invalid, "the peer answers something else: %w", cmp.Or(err, api.Errorf("", api.TooLarge, "%d refusals", len(f.Refusals))))
	}
	out := &RefusalList{Refusals: make([]RefusalOut, len(f.Refusals))}
	for i, x := range f.Refusals {
		r := api.Reason{
			Domain: api.Domain(printable(x.Domain)), Rule: printable(x.Rule), Text: printable(x.Text), Remedy: printable(x.Remedy),
		}
		if len(x.Inputs) > 0 {
			r.Inputs = map[string]string{}
		}
		for name, v := range x.Inputs {
			r.Inputs[printable(name)] = printable(v)
		}
		out.Refusals[i] = RefusalOut{
			ID: printable(x.ID), Who: []api.DID{self}, Action: printable(x.Action), Kind: printable(x.Kind), Reason: bounded(&r), Count: x.Count,
			First: time.UnixMilli(int64(min(x.First, 1<<48))).UTC(), Last: time.UnixMilli(int64(min(x.Last, 1<<48))).UTC(),
		}
	}
	return out, nil
}

package trust

import (
	"cmp"
	"context"
	"encoding/base64"
	"math"
	"slices"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	scopeRead  = "trust:read"
	scopeWrite = "trust:write"

	defaultLimit = 100
	maxLimit     = 1000
)

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "trust.add", Method: "POST", Path: "/trust", CLI: "trust add", Scope: scopeWrite, Write: true,
			Signs: api.SignsOne, Summary: "Say how far you trust somebody, -1 to 1; 0 takes it back",
		}, a.add),
		api.Handle(api.Operation{
			Name: "trust.score", Method: "GET", Path: "/trust/score/{from}/{to}", CLI: "trust score", Scope: scopeRead,
			Summary: "Show how somebody stands as seen from somebody, and the chains of attestations behind it",
		}, a.score),
		api.Handle(api.Operation{
			Name: "trust.list", Kind: api.List, Method: "GET", Path: "/trust", CLI: "trust list", Scope: scopeRead,
			Summary: "List standing attestations by author",
		}, a.list),
		api.Handle(api.Operation{
			Name: "trust.import", Method: "POST", Path: "/trust/import", CLI: "trust import", Scope: scopeWrite, Write: true,
			Access: api.AccessHere, Summary: "Import ratings between made-up people into a test space",
		}, a.importRows),
		api.Handle(api.Operation{
			Name: "trust.graph", Method: "GET", Path: "/trust/graph", CLI: "trust graph", Scope: scopeRead,
			Summary: "Count the people, attestations and records of a space",
		}, a.graph),
	}
}

// AddIn is the input of trust.add.
type AddIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"default: the only space this node follows"`
	To      api.DID  `json:"to" doc:"whom you attest"`
	Score   *float64 `json:"score" doc:"-1 (distrust) to 1, to four decimals; 0 revokes" example:"0.5"`
	Context string   `json:"context,omitempty" doc:"what it is about: at most 32 of a-z 0-9 -"`
}

// Validate implements api.Validator.
func (in *AddIn) Validate() error {
	switch {
	case in.To == "":
		return api.Errorf("trust.add", api.Invalid, "to: missing, want a DID")
	case in.Score == nil:
		return api.Errorf("trust.add", api.Invalid, "score: missing, want -1 to 1; 0 revokes")
	case !(*in.Score >= -1 && *in.Score <= 1):
		return api.Errorf("trust.add", api.Invalid, "score %v: want -1 to 1; 0 revokes", *in.Score)
	}
	return checkContext(in.Context)
}

// AddOut is the output of trust.add.
type AddOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) add(ctx context.Context, call *api.Call, in *AddIn) (*AddOut, error) {
	const op = "trust.add"
	s, err := a.followed(in.Space)
	if err != nil {
		return nil, err
	}
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	me := signer.DID()
	if in.To == me {
		return nil, api.Errorf(op, api.Invalid, "to %s: nobody can attest to themselves", in.To)
	}
	score := int16(math.Round(*in.Score * float64(Full)))
	if score == 0 && *in.Score != 0 {
		return nil, api.Errorf(op, api.Invalid, "score %v: the smallest is 0.0001; 0 revokes", *in.Score)
	}
	draft, err := a.draft(s, &Attestation{To: in.To, Score: score, Context: in.Context, At: a.host.Now().Unix()})
	if err != nil {
		return nil, err
	}
	draft.Idempotency = call.Idempotency
	if !a.started(s, signer.Device()) {
		dep, err := a.entitlement(s, me)
		if err != nil {
			return nil, err
		}
		draft.Deps = []api.Position{dep}
	}
	receipt, err := a.host.Append(ctx, signer, draft, call.Wait)
	if again, ok := a.repeated(s, signer.Device(), in.To, in.Context, score); ok && call.Idempotency != "" && api.KindOf(err) == api.Conflict {
		// The name is used: by this very request, if the attestation differs in nothing but the time.
		if earlier, bad := a.draft(s, &again); bad == nil {
			earlier.Idempotency, earlier.Deps = draft.Idempotency, draft.Deps
			if rc, bad := a.host.Append(ctx, signer, earlier, call.Wait); bad == nil {
				receipt, err = rc, nil
			}
		}
	}
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	// The reactor will do this too, but whoever asks next expects to see what they wrote.
	s.written(a.host, me, receipt.Position.Feed, in.To, in.Context)
	return &AddOut{receipt}, nil
}

// draft builds the record that states an attestation, without what it must cite.
func (a *App) draft(s *space, at *Attestation) (api.Draft, error) {
	if err := a.spelling.check(at.To); err != nil {
		return api.Draft{}, err
	}
	b := body{To: at.To, Score: at.Score, Context: at.Context, At: at.At}
	if err := b.check(); err != nil {
		return api.Draft{}, err
	}
	return api.Draft{Topic: s.topic, Kind: Kind, Body: codec.MustMarshal(&b)}, nil
}

// repeated returns the attestation that stands in a device's feed if it says the same.
func (a *App) repeated(s *space, device api.Key, to api.DID, context string, score int16) (Attestation, bool) {
	r := a.host.Read()
	defer r.Close()
	b, _, ok := r.Own(a.host.Feed(s.topic, device), edgeKey(context, to))
	var e row
	if !ok || codec.Unmarshal(b, &e) != nil || e.Score != score {
		return Attestation{}, false
	}
	return Attestation{To: to, Score: score, Context: context, At: e.At}, true
}

// started reports whether a device's feed has an accepted attestation, and so need not show again that it may attest.
func (a *App) started(s *space, device api.Key) bool {
	r := a.host.Read()
	defer r.Close()
	_, _, ok := r.Own(a.host.Feed(s.topic, device), feedKey)
	return ok
}

// entitlement returns what the first attestation of did's feed must cite.
func (a *App) entitlement(s *space, did api.DID) (api.Position, error) {
	id := s.topic.Space
	if a.spaces.Test(id) {
		if dep, ok := a.spaces.Genesis(id); ok {
			return dep, nil
		}
		return api.Position{}, api.Errorf("trust.add", api.Unavailable, "the space's genesis is not here yet")
	}
	if dep, ok := a.spaces.MemberDep(id, did); ok {
		return dep, nil
	}
	return api.Position{}, api.Refusal("trust.add", &api.Reason{
		Domain: Domain, Rule: "not-a-member", Text: "Only members of the space attest in it.",
		Inputs: map[string]string{"author": string(did), "space": id.String()},
		Remedy: "join the space first (icnctl space join)",
	})
}

// ScoreIn is the input of trust.score.
type ScoreIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"default: the only space this node follows"`
	From    api.DID  `json:"from,omitempty" doc:"who looks; default: you"`
	To      api.DID  `json:"to" doc:"who is looked at"`
	Context string   `json:"context,omitempty" doc:"count attestations of this context only; default: the latest of all"`
}

// Validate implements api.Validator.
func (in *ScoreIn) Validate() error {
	if in.To == "" {
		return api.Errorf("trust.score", api.Invalid, "to: missing, want a DID")
	}
	return checkContext(in.Context)
}

// ScoreOut is the output of trust.score.
type ScoreOut struct {
	From  api.DID `json:"from"`
	To    api.DID `json:"to"`
	Score float64 `json:"score" doc:"0 to 1"`
	Class string  `json:"class" doc:"isolated, known (from 0.1), partner (from 0.4) or federated (from 0.7)"`
	Paths []Path  `json:"paths" doc:"the strongest chains for, then against; at most three each"`
}

func (a *App) score(_ context.Context, call *api.Call, in *ScoreIn) (*ScoreOut, error) {
	s, err := a.followed(in.Space)
	if err != nil {
		return nil, err
	}
	from := cmp.Or(in.From, call.Actor, a.self())
	for _, did := range []api.DID{from, in.To} {
		if err := a.spelling.check(did); err != nil {
			return nil, api.Wrap("trust.score", err)
		}
	}
	score := Full
	if from != in.To {
		score = s.from(from, in.Context, a.host.Now()).scores[in.To]
	}
	return &ScoreOut{From: from, To: in.To, Score: score.Float(), Class: score.Class().String(), Paths: s.graph.paths(from, in.To, in.Context)}, nil
}

// ListIn is the input of trust.list.
type ListIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"default: the only space this node follows"`
	From   api.DID  `json:"from,omitempty" doc:"only this author's"`
	Limit  int      `json:"limit,omitempty" doc:"1 to 1000, default 100"`
	Cursor string   `json:"cursor,omitempty" doc:"where the page before ended"`
}

// Validate implements api.Validator.
func (in *ListIn) Validate() error {
	if in.Limit < 0 || in.Limit > maxLimit {
		return api.Errorf("trust.list", api.Invalid, "limit %d: want 1 to %d", in.Limit, maxLimit)
	}
	return nil
}

// Edge is a standing attestation for people to read.
type Edge struct {
	From    api.DID   `json:"from"`
	To      api.DID   `json:"to"`
	Score   float64   `json:"score" doc:"-1 to 1"`
	Context string    `json:"context"`
	Time    time.Time `json:"time" doc:"claimed by the author"`
}

// ListOut is the output of trust.list.
type ListOut struct {
	Edges  []Edge `json:"edges" doc:"by author, target and context"`
	Cursor string `json:"cursor,omitempty" doc:"for the next page; empty at the end"`
}

// mark is where a page ended; its base64url form is the cursor.
type mark struct {
	_       struct{} `cbor:",toarray"`
	From    api.DID
	To      api.DID
	Context string
}

func (a *App) list(_ context.Context, _ *api.Call, in *ListIn) (*ListOut, error) {
	s, err := a.followed(in.Space)
	if err != nil {
		return nil, err
	}
	var after mark
	if in.Cursor != "" {
		b, err := base64.RawURLEncoding.DecodeString(in.Cursor)
		if err == nil {
			err = codec.Unmarshal(b, &after)
		}
		if err != nil {
			return nil, api.Errorf("trust.list", api.Invalid, "cursor %.40q: want one that trust.list gave", in.Cursor)
		}
	}
	authors := []api.DID{in.From}
	if in.From == "" {
		authors = s.graph.authors(after.From)
	}
	limit := cmp.Or(in.Limit, defaultLimit)
	out := &ListOut{Edges: []Edge{}}
	for _, author := range authors {
		all := s.graph.of(author)
		if author == after.From {
			at, found := slices.BinarySearchFunc(all, after, func(x Attestation, m mark) int {
				return cmp.Or(cmp.Compare(x.To, m.To), cmp.Compare(x.Context, m.Context))
			})
			if found {
				at++
			}
			all = all[at:]
		}
		for i := range all {
			x := &all[i]
			if len(out.Edges) == limit {
				last := &out.Edges[limit-1]
				out.Cursor = base64.RawURLEncoding.EncodeToString(codec.MustMarshal(&mark{From: last.From, To: last.To, Context: last.Context}))
				return out, nil
			}
			out.Edges = append(out.Edges, Edge{x.From, x.To, float64(x.Score) / float64(Full), x.Context, time.Unix(x.At, 0).UTC()})
		}
	}
	return out, nil
}

// GraphIn is the input of trust.graph.
type GraphIn struct {
	Space api.Hash `json:"space,omitzero" doc:"default: the only space this node follows"`
}

// GraphOut is the output of trust.graph.
type GraphOut struct {
	People  int    `json:"people" doc:"who attest or are attested, now or before"`
	Edges   int    `json:"edges" doc:"standing attestations"`
	Records uint64 `json:"records" doc:"of the topic on this node, void ones included"`
}

func (a *App) graph(_ context.Context, _ *api.Call, in *GraphIn) (*GraphOut, error) {
	s, err := a.followed(in.Space)
	if err != nil {
		return nil, err
	}
	out := &GraphOut{}
	out.People, out.Edges = s.graph.size()
	for _, h := range a.host.Heads(s.topic) {
		out.Records += h.Tip.Seq
	}
	return out, nil
}

// followed returns the space that an input names, or the only one.
func (a *App) followed(id api.Hash) (*space, error) {
	if id.IsZero() {
		var err error
		if id, err = a.spaces.Default(); err != nil {
			return nil, err
		}
	} else if !slices.Contains(a.host.Follows(), id) {
		return nil, api.Errorf("trust", api.NotFound, "space %s: this node does not follow it; see icnctl space list", id.Short())
	}
	return a.space(id), nil
}

package kernel

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/record"
)

// ExplainIn names a record.
type ExplainIn struct {
	ID api.Hash `json:"id" doc:"record id"`
}

// ExplainOut says what became of a record and why.
type ExplainOut struct {
	Position api.Position   `json:"position"`
	Topic    string         `json:"topic"`
	Author   api.DID        `json:"author"`
	Kind     string         `json:"kind"`
	Time     time.Time      `json:"time"`
	Accepted bool           `json:"accepted"`
	Held     bool           `json:"held"`
	Waiting  bool           `json:"waiting" doc:"it is not stored yet: the reason says what it waits for"`
	Final    bool           `json:"final"`
	Level    api.Wait       `json:"level" doc:"the highest level reached: local, replicated(k) or final"`
	Holders  []api.DID      `json:"holders" doc:"members, the author not among them, whose nodes say that they hold it on disk"`
	Reason   *api.Reason    `json:"reason,omitempty"`
	Deps     []api.Position `json:"deps"`
	Signed   []byte         `json:"signed,omitempty" doc:"the bytes that its author's device has signed, base64; their SHA-256 is the id"`
}

// SubmitIn carries signed records.
type SubmitIn struct {
	Records     []string        `json:"records" doc:"signed envelopes in base64, at most 256"`
	Idempotency string          `json:"idempotency,omitempty" doc:"of one record: the name that record.prepare gave with it"`
	Operation   string          `json:"operation,omitempty" doc:"of one record: the operation that it was prepared for; when its place is taken, the answer has what to sign instead"`
	Input       json.RawMessage `json:"input,omitempty" doc:"the input of that operation"`
	Auth        []byte          `json:"auth,omitempty" doc:"as for record.prepare"`
}

// Validate implements api.Validator.
func (in *SubmitIn) Validate() error {
	n := len(in.Records)
	switch {
	case n == 0 || n > 256:
		return api.Errorf("record.submit", api.Invalid, "records: %d, want 1 to 256", n)
	case n > 1 && (in.Idempotency != "" || in.Operation != ""):
		return api.Errorf("record.submit", api.Invalid, "records: %d, want 1 where an operation or an idempotency name goes with it", n)
	case len(in.Idempotency) > api.MaxIdempotency:
		return api.Errorf("record.submit", api.Invalid, "idempotency of %d bytes: at most %d", len(in.Idempotency), api.MaxIdempotency)
	case len(in.Auth) > record.MaxAuth:
		return api.Errorf("record.submit", api.Invalid, "auth of %d bytes: at most %d", len(in.Auth), record.MaxAuth)
	}
	return nil
}

// SubmitOut answers for each record in order.
type SubmitOut struct {
	Results []SubmitResult `json:"results"`
}

// SubmitResult is what became of one record.
type SubmitResult struct {
	ID      api.Hash `json:"id"`
	Outcome string   `json:"outcome" doc:"committed, duplicate, held, deferred, void or refused; void, to a caller elsewhere: stored, without effect, and its place used"`
	Level   api.Wait `json:"level,omitempty" doc:"reached, of a stored record, when the call named one"`
	Error   string   `json:"error,omitempty"`
	Code    string   `json:"code,omitempty" doc:"kind of the error, e.g. conflict"`

	Reason   *api.Reason  `json:"reason,omitempty" doc:"why it is not stored, has to wait, or has no effect"`
	Refusal  string       `json:"refusal,omitempty" doc:"under which name this node remembers that: refusal.explain"`
	Receipt  *api.Receipt `json:"receipt,omitempty" doc:"of a stored record, to a caller elsewhere"`
	Prepared *PrepareOut  `json:"prepared,omitempty" doc:"what to sign instead of a record whose place is taken"`
}

// recordOperations are about single records.
func (k *Kernel) recordOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "record.explain", Method: "GET", Path: "/records/{id}", CLI: "explain", Scope: "record:read",
			Access: api.AccessOwn, Summary: "Say what became of a record and why",
		}, k.opExplain),
		api.Handle(api.Operation{
			Name: "record.submit", Method: "POST", Path: "/records/submit", Scope: "record:write", Write: true,
			Access: api.AccessOwn, Summary: "Send records signed elsewhere along the road",
		}, k.opSubmit),
		api.Handle(api.Operation{
			Name: "record.prepare", Method: "POST", Path: "/records/prepare", Scope: "record:write", Access: api.AccessOwn,
			Summary: "Say what an operation would have the caller's device sign, and write nothing",
		}, k.opPrepare),
		api.Handle(api.Operation{
			Name: "record.kinds", Method: "GET", Path: "/records/kinds", Scope: api.ScopePublic,
			Summary: "Say how the bodies of all kinds of records read",
		}, k.opKinds),
	}
}

func (k *Kernel) opExplain(ctx context.Context, call *api.Call, in *ExplainIn) (*ExplainOut, error) {
	r := k.reader("", k.log).Advised(k.apps)
	rec, v, ok := r.Lookup(in.ID)
	r.Close()
	if !ok || !call.Sees(rec.Topic.Space) {
		if out := k.explainWaiting(ctx, api.Position{ID: in.ID}); out != nil && !call.Remote() {
			return out, nil
		}
		return nil, api.Errorf("record.explain", api.NotFound, "record %s: this node does not hold it", in.ID)
	}
	if k.net != nil && k.inline == nil && !v.Final { // beyond that no copy adds anything
		ctx, cancel := context.WithTimeout(ctx, explainWait)
		defer cancel()
		_ = k.net.letters.copies.wait(ctx, rec.Position(), rec.Topic.Space, rec.Author, everyNode) // who has not answered by then is not counted
	}
	encoded := *rec
	if record.Founds(rec) {
		encoded.Topic.Space = api.Hash{}
	}
	signed, err := record.Unsigned(&encoded)
	if err != nil {
		return nil, api.Errorf("record.explain", api.Internal, "record %s cannot be encoded: %w", in.ID, err)
	}
	level, holders := k.level(rec.Position())
	return &ExplainOut{
		Signed: signed,
		Level:  level, Holders: append([]api.DID{}, holders...), Position: rec.Position(), Topic: rec.Topic.String(), Author: rec.Author, Kind: rec.Kind, Time: rec.Time.Time(),
		Accepted: v.Accepted, Held: v.Held, Final: v.Final, Reason: v.Reason, Deps: rec.Deps,
	}, nil
}

// explainWaiting explains a record that this node has and cannot store yet; nil when there is none.
func (k *Kernel) explainWaiting(ctx context.Context, p api.Position) (out *ExplainOut) {
	_ = k.road.Do(ctx, func(e *ingest.Engine) error { // a road that has ended knows of none
		if rec, why := e.Waiting(p); rec != nil {
			out = &ExplainOut{
				Position: rec.Position(), Topic: rec.Topic.String(), Author: rec.Author, Kind: rec.Kind, Time: rec.Time.Time(),
				Waiting: true, Reason: why, Deps: rec.Deps, Holders: []api.DID{},
			}
		}
		return nil
	})
	return out
}

func (k *Kernel) opSubmit(ctx context.Context, call *api.Call, in *SubmitIn) (*SubmitOut, error) {
	if err := k.canReach(call.Wait); err != nil {
		return nil, err
	}
	raws := make([][]byte, len(in.Records))
	for i, s := range in.Records {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return nil, api.Errorf("record.submit", api.Invalid, "records[%d]: not base64: %v", i, err)
		}
		raws[i] = b
	}
	if call.Remote() {
		return k.take(ctx, call, in, raws)
	}
	out := &SubmitOut{Results: make([]SubmitResult, len(raws))}
	for i, r := range k.road.Submit(ctx, raws, ingest.Origin{}) {
		out.Results[i] = SubmitResult{ID: r.ID, Outcome: r.Outcome.String()}
		if r.Err != nil {
			_ = k.notTaken(call, &out.Results[i], r.Err) // the result says it
		} else if r.Outcome == ingest.Held || r.Outcome == ingest.Deferred {
			if env, err := record.Decode(raws[i]); err == nil {
				if w := k.explainWaiting(ctx, env.Position()); w != nil { // else it is stored by now
					out.Results[i].Reason = w.Reason
				}
			}
		}
	}
	if call.Wait != "" {
		var all sync.WaitGroup
		for i := range out.Results {
			all.Go(func() { k.reachStored(ctx, &out.Results[i], call.Wait) })
		}
		all.Wait()
	}
	return out, nil
}

// notTaken says in a result why a record is not stored, and remembers it for whoever asks.
func (k *Kernel) notTaken(call *api.Call, res *SubmitResult, err error) error {
	err = k.refused([]api.DID{call.Actor}, false, "record.submit", "", err)
	res.Error, res.Code, res.Reason, res.Refusal = err.Error(), api.KindOf(err).Code(), api.ReasonOf(err), api.RefusalOf(err)
	return err
}

// reachStored is reach for one record that was sent signed. How far it got is part of its result.
func (k *Kernel) reachStored(ctx context.Context, res *SubmitResult, wait api.Wait) {
	r := k.reader("", k.log)
	rec, v, ok := r.Lookup(res.ID)
	r.Close()
	if !ok {
		return
	}
	receipt := api.Receipt{Position: rec.Position(), Topic: rec.Topic, Time: rec.Time, Final: v.Final, Repeated: true}
	if err := k.reach(ctx, &receipt, rec.Topic.Space, rec.Author, wait); err != nil {
		res.Error = err.Error()
	}
	res.Level = receipt.Level
}

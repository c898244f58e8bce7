package kernel

import (
	"context"
	"encoding/base64"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
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
}

// SubmitIn carries signed records.
type SubmitIn struct {
	Records []string `json:"records" doc:"signed envelopes in base64, at most 256"`
}

// Validate implements api.Validator.
func (in *SubmitIn) Validate() error {
	if n := len(in.Records); n == 0 || n > 256 {
		return api.Errorf("record.submit", api.Invalid, "records: %d, want 1 to 256", n)
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
	Outcome string   `json:"outcome"`
	Level   api.Wait `json:"level,omitempty" doc:"reached, of a stored record, when the call named one"`
	Error   string   `json:"error,omitempty"`

	Reason  *api.Reason `json:"reason,omitempty" doc:"why it is not stored, or has to wait"`
	Refusal string      `json:"refusal,omitempty" doc:"under which name this node remembers that: refusal.explain"`
}

// recordOperations are about single records.
func (k *Kernel) recordOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "record.explain", Method: "GET", Path: "/records/{id}", CLI: "explain", Scope: "record:read",
			Summary: "Say what became of a record and why",
		}, k.opExplain),
		api.Handle(api.Operation{
			Name: "record.submit", Method: "POST", Path: "/records/submit", Scope: "record:write", Write: true,
			Summary: "Send records signed elsewhere along the road",
		}, k.opSubmit),
	}
}

func (k *Kernel) opExplain(ctx context.Context, _ *api.Call, in *ExplainIn) (*ExplainOut, error) {
	r := fold.NewReader(k.st, "", k.log).Advised(k.apps)
	rec, v, ok := r.Lookup(in.ID)
	r.Close()
	if !ok {
		if out := k.explainWaiting(ctx, api.Position{ID: in.ID}); out != nil {
			return out, nil
		}
		return nil, api.Errorf("record.explain", api.NotFound, "record %s: this node does not hold it", in.ID)
	}
	if k.net != nil && k.inline == nil && !v.Final { // beyond that no copy adds anything
		ctx, cancel := context.WithTimeout(ctx, explainWait)
		defer cancel()
		_ = k.net.letters.copies.wait(ctx, rec.Position(), rec.Topic.Space, rec.Author, everyNode) // who has not answered by then is not counted
	}
	level, holders := k.level(rec.Position())
	return &ExplainOut{
		Level: level, Holders: append([]api.DID{}, holders...), Position: rec.Position(), Topic: rec.Topic.String(), Author: rec.Author, Kind: rec.Kind, Time: rec.Time.Time(),
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
	out := &SubmitOut{Results: make([]SubmitResult, len(raws))}
	for i, r := range k.road.Submit(ctx, raws, ingest.Origin{}) {
		out.Results[i] = SubmitResult{ID: r.ID, Outcome: r.Outcome.String()}
		if r.Err != nil {
			err := k.refused([]api.DID{call.Actor}, false, "record.submit", "", r.Err)
			out.Results[i].Error, out.Results[i].Reason, out.Results[i].Refusal = err.Error(), api.ReasonOf(err), api.RefusalOf(err)
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

// reachStored is reach for one record that was sent signed. How far it got is part of its result.
func (k *Kernel) reachStored(ctx context.Context, res *SubmitResult, wait api.Wait) {
	r := fold.NewReader(k.st, "", k.log)
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

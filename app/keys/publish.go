package keys

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// PublishIn is the input of key.publish.
type PublishIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// PublishOut is the output of key.publish. The registrar's node follows the log when the witnesses hold the record final.
type PublishOut struct {
	Receipt api.Receipt `json:"receipt"`
}

// publish shows a space the log that certifies the caller's device, as a member's own node does by itself: for devices that have no node.
func (a *App) publish(ctx context.Context, call *api.Call, in *PublishIn) (*PublishOut, error) {
	const op = "key.publish"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.open(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	au, err := record.ParseAuth(signer.Auth())
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "auth: want the key event log that certifies device %s: %w", signer.Device(), err)
	}
	settled := au.Log.Settled()
	if settled == nil {
		return nil, api.Refusal(op, notRotated())
	}
	feed := s.Feed(fact.KeysTopic, signer.Device())
	draft := api.Draft{Topic: api.Topic{Space: s.ID, Name: fact.KeysTopic}, Kind: kindLog, Idempotency: call.Idempotency}
	if b, at, ok := r.Own(feed, rowLog); ok {
		if shown := publishedLog(b, ok); shown != nil && shown.Head().ID == au.Log.Head().ID {
			return &PublishOut{fact.Repeated(r, at)}, nil
		}
	}
	d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log()}
	known, _, _ := d.base(signer.DID())
	if _, why := beyond(known, settled); why != nil {
		return nil, api.Refusal(op, why)
	}
	if _, begun := r.Head(feed); begun { // else the record's auth is the log
		draft.Body = slices.Clone(signer.Auth())
	}
	rc, err := host.Append(ctx, signer, draft, call.Wait)
	return &PublishOut{rc}, api.Wrap(op, err)
}

// askTag begins what a root key signs to be given its log.
const askTag = "icn-key-log-ask"

// askWithin is how far from this node's clock the time of an ask may be.
const askWithin = 10 * time.Minute

// OwnIn is the input of key.own.
type OwnIn struct {
	DID       api.DID `json:"did" doc:"DID whose log it is"`
	Time      int64   `json:"time" doc:"Unix milliseconds, not over ten minutes from now" example:"1777500000000"`
	Signature []byte  `json:"signature" doc:"Ed25519 by the root key of the DID over the canonical CBOR of [\"icn-key-log-ask\", did, time], base64" example:"\"AAAA\""`
}

// Validate implements api.Validator.
func (in *OwnIn) Validate() error {
	_, err := record.ParseDID(string(in.DID))
	return err
}

// AskMessage is what the root key of a DID signs for key.own.
func AskMessage(did api.DID, ms int64) []byte {
	return codec.MustMarshal([]any{askTag, string(did), ms})
}

// ownLog gives the log of a DID to who has only its recovery phrase: no device of theirs can log in any more, and the next one needs the log to be let in.
func (a *App) ownLog(_ context.Context, _ *api.Call, in *OwnIn) (*LogOut, error) {
	const op = "key.own"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	root, err := record.ParseDID(string(in.DID))
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "did: %w", err)
	}
	off := host.Now().Sub(time.UnixMilli(in.Time)).Abs()
	if off > askWithin || !record.Verify(root, AskMessage(in.DID, in.Time), in.Signature) {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-root", Text: "the signature is not by the root key of the DID, or of another time",
			Inputs: map[string]string{"did": string(in.DID), "off": fmt.Sprint(off.Round(time.Second))},
			Remedy: "check the recovery phrase and the clock",
		})
	}
	r := host.Read()
	defer r.Close()
	var best *record.Log
	for _, id := range host.Follows() {
		if s, ok := fact.Open(r, id); ok {
			d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log()}
			best = longer(best, d.newest(in.DID))
		}
	}
	if best == nil {
		return nil, api.Errorf(op, api.NotFound, "did: %s has written nothing here that shows its log", in.DID)
	}
	return &LogOut{Log: best.Bytes()}, nil
}

// newest finds the longest log of a DID in the space: what it follows, what was published, what its feeds have shown.
func (d *desk) newest(did api.DID) *record.Log {
	best, _, _ := d.base(did)
	for _, l := range d.shown(did) {
		best = longer(best, l)
	}
	return best
}

// longer returns b if it goes on from a, or a is nil, else a.
func longer(a, b *record.Log) *record.Log {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	if rel, _ := record.Compare(b, a); rel == record.Ahead {
		return b
	}
	return a
}

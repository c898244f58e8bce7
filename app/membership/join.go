package membership

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	// patience is how long space.join waits when its caller sets no deadline.
	patience = time.Minute
	// lookAgain is how often a waiting join looks, in case it missed a notice.
	lookAgain = time.Second
)

// JoinIn is the input of space.join.
type JoinIn struct {
	Invitation string `json:"invitation" doc:"Text of the invitation, icn-invite:..." example:"icn-invite:iQFYIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAWCACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAFYIAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAWCAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIBqRm9vZCBjby1vcBsAAAGizovUAC3FAN8"`
}

// Validate implements api.Validator.
func (in *JoinIn) Validate() error {
	_, err := parseInvitation(in.Invitation)
	return err
}

// JoinOut is the output of space.join.
type JoinOut struct {
	Space  api.Hash `json:"space"`
	Name   string   `json:"name"`
	Member bool     `json:"member"`
}

func (a *App) joinSpace(ctx context.Context, call *api.Call, in *JoinIn) (*JoinOut, error) {
	const op = "space.join"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	inv, err := parseInvitation(in.Invitation)
	if err != nil {
		return nil, err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	out := &JoinOut{Space: inv.Space, Name: inv.Name}
	if call.Remote() {
		return a.joinFromElsewhere(ctx, call, host, signer, inv)
	}
	if out.Member = a.admitted(host, inv.Space, signer.DID()); out.Member {
		return out, host.Follow(inv.Space)
	}
	if host.Now().UnixMilli() >= inv.Expires {
		return nil, api.Refusal(op, expired(inv))
	}
	body := joinBody(inv, signer)
	if err := host.Follow(inv.Space); err != nil {
		return nil, api.Wrap(op, err)
	}
	dialled := dial(ctx, host, inv, body)
	if !a.wait(ctx, host, func(r api.Reader) bool {
		_, ok := fact.Open(r, inv.Space)
		_, _, here := r.Record(inv.position())
		return ok && here
	}) {
		text := "the records of " + inv.Name + " have not come"
		if dialled != nil {
			text = "no node of " + inv.Name + " answers: " + dialled.Error()
		}
		return nil, api.Errorf(op, api.Timeout, "%s; check that this node can reach them and use the invitation again (it is good until %s)",
			text, time.UnixMilli(inv.Expires).UTC().Format(time.RFC3339))
	}
	if _, err := host.Append(ctx, signer, joinDraft(inv, body), api.WaitLocal); err != nil {
		return nil, api.Wrap(op, err)
	}
	out.Member = a.wait(ctx, host, func(r api.Reader) bool {
		s, ok := fact.Open(r, inv.Space)
		if !ok {
			return false
		}
		_, _, ok = s.Member(signer.DID())
		return ok
	})
	if !out.Member {
		return nil, api.Errorf(op, api.Timeout,
			"you have asked to join %s, and its registrar has not answered yet; it does so when its node is online, if the invitation has not expired or been used up by then. Look again with `icnctl space list`, or use the invitation again",
			inv.Name)
	}
	return out, nil
}

// joinFromElsewhere makes the join of somebody whose key is not on this node. Nothing is followed and nobody is dialled for them: the space must be here.
func (a *App) joinFromElsewhere(ctx context.Context, call *api.Call, host api.Host, signer api.Signer, inv *invitation) (*JoinOut, error) {
	const op = "space.join"
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, inv.Space)
	_, _, here := r.Record(inv.position())
	if !ok || !here || !slices.Contains(host.Follows(), inv.Space) {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-here", Text: "this node does not have the space, or not the invitation yet, and gets neither for somebody elsewhere",
			Inputs: map[string]string{"space": inv.Space.String()}, Remedy: "use the invitation on a node of " + inv.Name + ", a little later if it is new",
		})
	}
	out := &JoinOut{Space: inv.Space, Name: inv.Name}
	if _, _, out.Member = s.Member(signer.DID()); out.Member {
		return out, nil
	}
	if host.Now().UnixMilli() >= inv.Expires {
		return nil, api.Refusal(op, expired(inv))
	}
	_, err := host.Append(ctx, signer, joinDraft(inv, joinBody(inv, signer)), call.Wait)
	return out, api.Wrap(op, err)
}

func expired(inv *invitation) *api.Reason {
	return &api.Reason{
		Domain: Domain, Rule: "invitation-expired",
		Text: "the invitation has expired at " + time.UnixMilli(inv.Expires).UTC().Format(time.RFC3339), Remedy: "ask the registrar of " + inv.Name + " for a new one",
	}
}

func joinDraft(inv *invitation, body []byte) api.Draft {
	return api.Draft{
		Topic: api.Topic{Space: inv.Space, Name: fact.JoinTopic}, Deps: []api.Position{inv.position()}, Kind: kindJoin, Body: body,
		Idempotency: "join:" + hex.EncodeToString(inv.key().Public().(ed25519.PublicKey))[:56],
	}
}

// joinBody is the join signed with the invitation's key. It serves as the proof in handshakes too.
func joinBody(inv *invitation, s api.Signer) []byte {
	key := inv.key()
	j := &join{Key: api.Key(key.Public().(ed25519.PublicKey)), DID: s.DID(), Device: s.Device()}
	j.Signature = ed25519.Sign(key, joinMessage(inv.Space, j.DID, j.Device))
	return codec.MustMarshal(j)
}

// dial tries the invitation's addresses until one answers. No address is no error: a peer may be connected already.
func dial(ctx context.Context, host api.Host, inv *invitation, proof []byte) error {
	var errs []error
	for _, addr := range inv.Addresses {
		err := host.Dial(ctx, strings.TrimSpace(addr), proof)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (a *App) admitted(host api.Host, space api.Hash, did api.DID) bool {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return false
	}
	_, _, ok = s.Member(did)
	return ok
}

// wait returns true once cond holds, false when ctx ends first. It looks after every commit of this app's topics.
func (a *App) wait(ctx context.Context, host api.Host, cond func(api.Reader) bool) bool {
	look := func() bool {
		r := host.Read()
		defer r.Close()
		return cond(r)
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		notice := a.next() // before looking, so that no commit falls between
		if look() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-notice:
		case <-tick.C:
		}
	}
}

package membership

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Page sizes of lists, in entries.
const (
	defaultPage = 50
	maxPage     = 500
)

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "space.create", Method: http.MethodPost, Path: "/space/create", CLI: "space create", Scope: "space:write", Write: true,
			Access: api.AccessHere, Summary: "Found a space",
		}, a.create),
		api.Handle(api.Operation{
			Name: "space.list", Method: http.MethodGet, Path: "/space/list", CLI: "space list", Scope: "space:read",
			Access: api.AccessOwn, Summary: "List the spaces that this node follows",
		}, a.list),
		api.Handle(api.Operation{
			Name: "space.show", Method: http.MethodGet, Path: "/space/show", CLI: "space show", Scope: "space:read",
			Summary: "Show what a space is",
		}, a.show),
		api.Handle(api.Operation{
			Name: "space.invite", Method: http.MethodPost, Path: "/space/invite", CLI: "space invite", Scope: "member:write", Write: true,
			Access: api.AccessHere, Summary: "Write an invitation; whoever has its text may join",
		}, a.inviteSpace),
		api.Handle(api.Operation{
			Name: "space.join", Method: http.MethodPost, Path: "/space/join", CLI: "space join", Scope: "space:join", Write: true,
			Access: api.AccessOwn, Signs: api.SignsOne, Summary: "Join a space with an invitation and wait to be admitted",
		}, a.joinSpace),
		api.Handle(api.Operation{
			Name: "member.list", Kind: api.List, Method: http.MethodGet, Path: "/member/list", CLI: "member list", Scope: "member:read",
			Summary: "List the members of a space",
		}, a.members),
		api.Handle(api.Operation{
			Name: "member.profile", Method: http.MethodPost, Path: "/member/profile", CLI: "member profile", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "Say how you want to be called",
		}, a.profile),
		api.Handle(api.Operation{
			Name: "member.add", Method: http.MethodPost, Path: "/member/add", CLI: "member add", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "Admit a member without an invitation",
		}, a.add),
		api.Handle(api.Operation{
			Name: "member.device", Method: http.MethodPost, Path: "/member/device", CLI: "member device", Scope: "member:write", Write: true,
			Signs: api.SignsSeveral, Summary: "Give a member another device, which goes on from where the lost one is cut",
		}, a.device),
		api.Handle(api.Operation{
			Name: "member.remove", Method: http.MethodPost, Path: "/member/remove", CLI: "member remove", Scope: "member:write", Write: true,
			Signs: api.SignsSeveral, Summary: "Remove a member: nothing of theirs counts from then on, and what they owe stays",
		}, a.remove),
		api.Handle(api.Operation{
			Name: "office.hand", Method: http.MethodPost, Path: "/office/hand", CLI: "office hand", Scope: "member:write", Write: true,
			Signs: api.SignsSeveral, Summary: "Give an office of the space to another holder",
		}, a.hand),
	}
}

// CreateIn is the input of space.create.
type CreateIn struct {
	Name         string `json:"name" doc:"Name of the space, 1 to 80 bytes" example:"Food co-op"`
	Kind         string `json:"kind,omitempty" doc:"cooperative (default), community, federation or personal" enum:"cooperative,community,federation,personal"`
	Currency     string `json:"currency,omitempty" doc:"Code of its currency, a-z 0-9 -, at most 16; default hours"`
	Scale        *int   `json:"scale,omitempty" doc:"Decimals of the currency, 0 to 6; default 2"`
	DefaultLimit *int64 `json:"default_limit,omitempty" doc:"Credit limit of a member without a grant, minor units; default 10000"`
	Gift         bool   `json:"gift,omitempty" doc:"Gift mode: the currency counts what members do for each other; it has no limits, and shows no balances"`
	Test         bool   `json:"test,omitempty" doc:"A test space: nothing in it is meant"`

	Witnesses []api.Key `json:"witnesses,omitempty" doc:"Device keys of further witnesses beside this node's own, at most 15; they must join"`
	Faulty    *int      `json:"faulty,omitempty" doc:"How many of the witnesses may lie without harm; default a third of the others, rounded down"`
	Threshold *int      `json:"threshold,omitempty" doc:"How many witnesses make a record final; default the fewest that are safe"`
}

func (in *CreateIn) defaults() {
	if in.Kind == "" {
		in.Kind = "cooperative"
	}
	if in.Currency == "" {
		in.Currency = "hours"
	}
	if in.Scale == nil {
		in.Scale = new(int)
		*in.Scale = 2
	}
	if in.DefaultLimit == nil {
		in.DefaultLimit = new(int64)
		if *in.DefaultLimit = 10000; in.Gift {
			*in.DefaultLimit = fact.NoLimit
		}
	}
	fact.FillQuorum(len(in.Witnesses)+1, &in.Threshold, &in.Faulty)
}

// Validate implements api.Validator.
func (in *CreateIn) Validate() error {
	in.defaults()
	switch {
	case !text(in.Name, maxName):
		return fmt.Errorf("name %q: want 1 to %d bytes of printable text, not starting or ending in space", clip(in.Name), maxName)
	case !knownKind(in.Kind):
		return fmt.Errorf("kind %q: want cooperative, community, federation or personal", clip(in.Kind))
	case !code(in.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	case *in.Scale < 0 || *in.Scale > maxScale:
		return fmt.Errorf("scale %d: want 0 to %d", *in.Scale, maxScale)
	case *in.DefaultLimit < 0:
		return fmt.Errorf("default_limit %d: want 0 or more", *in.DefaultLimit)
	case in.Gift && *in.DefaultLimit != fact.NoLimit:
		return fmt.Errorf("default_limit %d: a gift currency has no limit; leave it out", *in.DefaultLimit)
	case !in.Gift && *in.DefaultLimit == fact.NoLimit:
		return fmt.Errorf("default_limit %d: want less, or gift for a currency that has none", *in.DefaultLimit)
	case len(in.Witnesses) >= fact.MaxWitnesses:
		return fmt.Errorf("witnesses: %d further ones, want at most %d", len(in.Witnesses), fact.MaxWitnesses-1)
	}
	return fact.CheckQuorumFields(*in.Threshold, *in.Faulty)
}

// CreateOut is the output of space.create.
type CreateOut struct {
	Space   api.Hash    `json:"space"`
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) create(ctx context.Context, call *api.Call, in *CreateIn) (*CreateOut, error) {
	const op = "space.create"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	in.defaults()
	nonce, err := a.secret("icn-space", call, signer)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	// The offices that a node fills by itself go to this node's own member, the others to the founder; mostly they are one.
	self := host.Self()
	g := &genesis{
		Name: in.Name, Kind: in.Kind, Nonce: nonce[:nonceSize], Test: in.Test, Founders: []fact.Founder{{DID: signer.DID(), Device: signer.Device()}},
		Witnesses: witnesses(self.Device(), in.Witnesses), Threshold: uint16(*in.Threshold), Faulty: uint16(*in.Faulty),
		Offices: []office{
			{Name: fact.Clerk, DID: signer.DID(), Device: signer.Device()},
			{Name: fact.Registrar, DID: self.DID(), Device: self.Device()},
			{Name: fact.Treasury, DID: signer.DID(), Device: signer.Device()},
		},
		Currencies: []currency{{Code: in.Currency, Scale: uint8(*in.Scale), Limit: *in.DefaultLimit}},
	}
	if err := g.check(); err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	draft := api.Draft{Topic: api.Topic{Name: fact.SpaceTopic}, Kind: kindGenesis, Body: codec.MustMarshal(g), Idempotency: call.Idempotency}
	rc, err := host.Append(ctx, signer, draft, call.Wait)
	if rc.Topic.Space.IsZero() {
		return nil, api.Wrap(op, err)
	}
	if ferr := host.Follow(rc.Topic.Space); ferr != nil {
		return nil, api.Wrap(op, ferr)
	}
	return &CreateOut{Space: rc.Topic.Space, Receipt: rc}, api.Wrap(op, err)
}

// witnesses returns the keys in order.
func witnesses(own api.Key, others []api.Key) []api.Key {
	all := append([]api.Key{own}, others...)
	slices.SortFunc(all, func(a, b api.Key) int { return bytes.Compare(a[:], b[:]) })
	return all
}

// secret returns 32 bytes that nobody else can know: new ones, or for a call with an idempotency key the same ones every time.
func (a *App) secret(tag string, call *api.Call, signer api.Signer, parts ...string) ([32]byte, error) {
	var s [32]byte
	if call.Idempotency == "" {
		_, err := io.ReadFull(a.entropy, s[:])
		return s, err
	}
	sig, err := signer.Sign(codec.MustMarshal(append([]string{tag, "secret", call.Idempotency}, parts...)))
	if err != nil {
		return s, err
	}
	return sha256.Sum256(sig), nil
}

// open opens a space over r; a zero id is the default space.
func (a *App) open(op string, r api.Reader, id api.Hash) (*fact.Space, error) {
	if id.IsZero() {
		var err error
		if id, err = a.Default(); err != nil {
			return nil, err
		}
	}
	s, ok := fact.Open(r, id)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", id)
	}
	return s, nil
}

// AddIn is the input of member.add.
type AddIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID    api.DID  `json:"did" doc:"DID of the new member"`
	Device api.Key  `json:"device" doc:"Public key of the device that will act for the member, 64 hexadecimal digits"`
}

// Validate implements api.Validator.
func (in *AddIn) Validate() error { return identity(in.DID, in.Device) }

// AddOut is the output of member.add.
type AddOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) add(ctx context.Context, call *api.Call, in *AddIn) (*AddOut, error) {
	const op = "member.add"
	a.admit.Lock() // before reading: the number must be the newest
	defer a.admit.Unlock()
	host, signer, r, s, err := a.asRegistrar(op, call, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if m, pos, ok := s.Member(in.DID); ok {
		if m.Device != in.Device {
			return nil, api.Refusal(op, &api.Reason{
				Domain: Domain, Rule: "member-exists", Text: "this DID is a member already, with another device",
				Inputs: map[string]string{"did": string(in.DID), "device": m.Device.String()},
			})
		}
		return &AddOut{Receipt: fact.Repeated(r, pos)}, nil
	}
	rc, err := host.Append(ctx, signer, admission(r, s, in.DID, in.Device), call.Wait)
	return &AddOut{Receipt: rc}, api.Wrap(op, err)
}

// asRegistrar opens a space for an operation that only its registrar may do. The caller closes the Reader.
func (a *App) asRegistrar(op string, call *api.Call, space api.Hash) (api.Host, api.Signer, api.Reader, *fact.Space, error) {
	host, err := a.with(op)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	r := host.Read()
	s, err := a.open(op, r, space)
	if err == nil && !s.Holds(signer, fact.Registrar) {
		o, _ := s.Office(fact.Registrar)
		err = api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-registrar", Text: "only the registrar of " + s.Genesis.Name + " may do this",
			Inputs: map[string]string{"registrar": string(o.DID)}, Remedy: "ask " + string(o.DID),
		})
	}
	if err != nil {
		r.Close()
		return nil, nil, nil, nil, err
	}
	return host, signer, r, s, nil
}

// InviteIn is the input of space.invite.
type InviteIn struct {
	Space        api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Uses         uint32   `json:"uses,omitempty" doc:"How many may join with it, 1 to 10000; default 1"`
	ExpiresHours int      `json:"expires_hours,omitempty" doc:"Hours until it expires, 1 to 8760; default 72"`
}

// Validate implements api.Validator.
func (in *InviteIn) Validate() error {
	if in.Uses > maxUses {
		return fmt.Errorf("uses %d: want 1 to %d", in.Uses, maxUses)
	}
	if in.ExpiresHours < 0 || in.ExpiresHours > 8760 {
		return fmt.Errorf("expires_hours %d: want 1 to 8760", in.ExpiresHours)
	}
	return nil
}

// InviteOut is the output of space.invite. The text is a secret.
type InviteOut struct {
	Invitation string    `json:"invitation"`
	Expires    time.Time `json:"expires"`
}

func (a *App) inviteSpace(ctx context.Context, call *api.Call, in *InviteIn) (*InviteOut, error) {
	const op = "space.invite"
	host, signer, r, s, err := a.asRegistrar(op, call, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	uses, hours := max(in.Uses, 1), in.ExpiresHours
	if hours == 0 {
		hours = 72
	}
	// With an idempotency key the key of the invitation is the same again, so the record is found and not written twice.
	seed, err := a.secret("icn-invite", call, signer, s.ID.String(), fmt.Sprint(uses, hours))
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	key := api.Key(ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey))
	body := invite{Key: key, Uses: uses, Expires: host.Now().Add(time.Duration(hours) * time.Hour).UnixMilli()}
	var pos api.Position
	if b, at, ok := r.Own(s.Registrar(), rowInvite(key)); ok {
		if err := codec.Unmarshal(b, &body); err != nil {
			return nil, api.Wrap(op, err)
		}
		pos = at
	} else {
		rc, err := host.Append(ctx, signer, registrarDraft(r, s, kindInvite, codec.MustMarshal(&body)), call.Wait)
		if err != nil {
			return nil, api.Wrap(op, err)
		}
		pos = rc.Position
	}
	inv := &invitation{Version: 1, Space: s.ID, Feed: pos.Feed, Seq: pos.Seq, ID: pos.ID, Seed: seed[:], Name: s.Genesis.Name, Expires: body.Expires}
	for _, addr := range host.Addresses() {
		if len(inv.Addresses) < maxAddresses && text(addr, maxAddress) {
			inv.Addresses = append(inv.Addresses, addr)
		}
	}
	return &InviteOut{Invitation: inv.text(), Expires: time.UnixMilli(body.Expires).UTC()}, nil
}

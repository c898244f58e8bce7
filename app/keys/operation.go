package keys

import (
	"context"
	"net/http"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "key.follow", Method: http.MethodPost, Path: "/keys/follow", CLI: "id follow", Scope: "member:write", Write: true,
			Access: api.AccessHere, Summary: "On a new device: show a space the key event log, and wait until it follows",
		}, a.follow),
		api.Handle(api.Operation{
			Name: "key.log", Method: http.MethodGet, Path: "/keys/log", CLI: "id log", Scope: "member:read",
			Summary: "Give the newest key event log of a DID that this node has",
		}, a.log),
		api.Handle(api.Operation{
			Name: "key.own", Method: http.MethodPost, Path: "/keys/own", Scope: api.ScopePublic, Access: api.AccessOwn,
			Summary: "Give the key event log of a DID to who holds its root key, to restore the member on a new device",
		}, a.ownLog),
		api.Handle(api.Operation{
			Name: "key.publish", Method: http.MethodPost, Path: "/keys/publish", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "Show a space the key event log that certifies this device, so that the registrar follows it",
		}, a.publish),
		api.Handle(api.Operation{
			Name: "key.recoveries", Method: http.MethodGet, Path: "/keys/recoveries", CLI: "id recover status", Scope: "member:read",
			Summary: "List recoveries by guardians, and how long they wait",
		}, a.recoveries),
		api.Handle(api.Operation{
			Name: "key.veto", Method: http.MethodPost, Path: "/keys/veto", CLI: "id recover veto", Scope: "member:write", Write: true,
			Signs: api.SignsOne, Summary: "Bring an objection to a recovery, signed by the key in charge",
		}, a.veto),
	}
}

const (
	// patience is how long key.follow waits when its caller sets no deadline.
	patience = time.Minute
	// lookAgain is how often it looks.
	lookAgain = 200 * time.Millisecond
)

// FollowIn is the input of key.follow.
type FollowIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Address string   `json:"address,omitempty" doc:"Address of a node of the space, icn://<node did>@host:port; default: the peers that this node has"`
}

// FollowOut is the output of key.follow.
type FollowOut struct {
	Space    api.Hash  `json:"space"`
	Name     string    `json:"name"`
	Device   api.Key   `json:"device" doc:"the device that acts for the member"`
	Acts     bool      `json:"acts" doc:"it is this node's"`
	Second   bool      `json:"second,omitempty" doc:"this node's device is another one of the member's, which spends what is set aside for it"`
	Recovery *Recovery `json:"recovery,omitempty" doc:"the recovery that waits, or was vetoed"`
}

// follow makes the node follow a space and waits until that follows the member's log. A second device has nothing to wait for but the space.
func (a *App) follow(ctx context.Context, call *api.Call, in *FollowIn) (*FollowOut, error) {
	const op = "key.follow"
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	if in.Space.IsZero() {
		if in.Space, err = a.spaces.Default(); err != nil {
			return nil, err
		}
	}
	if err := host.Follow(in.Space); err != nil {
		return nil, api.Wrap(op, err)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	var dialled error
	if in.Address != "" {
		dialled = host.Dial(ctx, in.Address, nil)
	}
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		out, err := a.followed(op, host, signer, in.Space)
		if err == nil && (out.Acts || out.Second || out.Recovery != nil) {
			return out, nil
		}
		if api.KindOf(err) == api.Refused {
			return nil, err
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
			continue
		}
		switch {
		case dialled != nil:
			return nil, api.Errorf(op, api.Timeout, "the records of the space have not come, and its node does not answer: %w", dialled)
		case err != nil:
			return nil, api.Errorf(op, api.Timeout, "%w: check that this node has a peer that follows the space", err)
		}
		return nil, api.Errorf(op, api.Timeout, "the log is shown, and the registrar of %s has not followed it yet; it does so when its node is online. Look again with the same command", out.Name)
	}
}

// followed says how far the space has followed the log of signer's DID.
func (a *App) followed(op string, host api.Host, signer api.Signer, space api.Hash) (*FollowOut, error) {
	r := host.Read()
	defer r.Close()
	s, ok := fact.Open(r, space)
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	m, _, ok := s.Member(signer.DID())
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "did: %s is no member of %s by what this node has", signer.DID(), s.Genesis.Name)
	}
	out := &FollowOut{Space: space, Name: s.Genesis.Name, Device: m.Device, Acts: m.Device == signer.Device()}
	own := a.mine(host)
	if l, err := record.ParseAuth(signer.Auth()); err == nil && !out.Acts && l.Log != nil && l.Log.Primary() == m.Device {
		out.Second = true // the log agrees with the space: nobody is to be moved
		return out, nil
	}
	if out.Acts || own == nil {
		if !out.Acts {
			return nil, api.Refusal(op, notRotated())
		}
		return out, nil
	}
	d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log()}
	known, _, _ := d.base(signer.DID())
	ws, why := beyond(known, own.Settled())
	if why != nil && why.Rule != "known" {
		return nil, api.Refusal(op, why)
	}
	for _, w := range ws {
		if v := d.view(signer.DID(), w.event); v != nil && (v.State == stateStopped || v.State == stateWaits && v.Due.After(host.Now())) {
			out.Recovery = v
		}
	}
	return out, nil
}

// LogIn is the input of key.log.
type LogIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did" doc:"DID whose log it is"`
}

// Validate implements api.Validator.
func (in *LogIn) Validate() error {
	_, err := record.ParseDID(string(in.DID))
	return err
}

// LogOut is the output of key.log.
type LogOut struct {
	Log []byte `json:"log" doc:"the encoded log (docs/protocol.md, 2.5), base64"`
}

// maxWalk bounds how many records of a feed are read back to its auth.
const maxWalk = 4096

// log finds the longest log of a DID: what the space follows, what was published, what its feeds have shown.
func (a *App) log(_ context.Context, _ *api.Call, in *LogIn) (*LogOut, error) {
	const op = "key.log"
	host, r, s, err := a.open(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log()}
	best := d.newest(in.DID)
	if best == nil {
		return nil, api.Errorf(op, api.NotFound, "did: %s has written nothing in %s that shows its log", in.DID, s.Genesis.Name)
	}
	return &LogOut{Log: best.Bytes()}, nil
}

// open opens a space; a zero id is the default one. The caller closes the reader.
func (a *App) open(op string, id api.Hash) (api.Host, api.Reader, *fact.Space, error) {
	host, err := a.with(op)
	if err != nil {
		return nil, nil, nil, err
	}
	if id.IsZero() {
		if id, err = a.spaces.Default(); err != nil {
			return nil, nil, nil, err
		}
	}
	r := host.Read()
	s, ok := fact.Open(r, id)
	if !ok {
		r.Close()
		return nil, nil, nil, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", id)
	}
	return host, r, s, nil
}

// RecoveriesIn is the input of key.recoveries.
type RecoveriesIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	DID   api.DID  `json:"did,omitempty" doc:"Whose recoveries; default: everybody's"`
}

// The states of a recovery.
const (
	stateAsked   = "asked"     // shown, not begun
	stateWaits   = "waits"     // begun, until Due
	stateStopped = "vetoed"    // never takes effect
	stateDone    = "in effect" // followed
)

// Recovery is a recovery by guardians as a space knows it.
type Recovery struct {
	DID   api.DID   `json:"did"`
	Event api.Hash  `json:"event" doc:"id of the recovery in the key event log"`
	Key   api.Key   `json:"key" doc:"the key that it puts in charge"`
	State string    `json:"state" doc:"asked, waits, vetoed or in effect"`
	Since time.Time `json:"since,omitzero" doc:"when the witnesses held it final"`
	Due   time.Time `json:"due,omitzero" doc:"when it takes effect unless it is vetoed, by the witnesses' clocks"`
}

// RecoveriesOut is the output of key.recoveries.
type RecoveriesOut struct {
	Recoveries []Recovery `json:"recoveries"`
}

func (a *App) recoveries(_ context.Context, _ *api.Call, in *RecoveriesIn) (*RecoveriesOut, error) {
	host, r, s, err := a.open("key.recoveries", in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log()}
	out := &RecoveriesOut{Recoveries: []Recovery{}}
	seen := map[api.Hash]bool{}
	for _, h := range host.Heads(api.Topic{Space: s.ID, Name: fact.KeysTopic}) {
		if in.DID != "" && h.Author != in.DID {
			continue
		}
		b, _, ok := r.Own(h.Tip.Feed, rowLog)
		l := publishedLog(b, ok)
		if l == nil {
			continue
		}
		for _, e := range l.Events() {
			if e.Kind != record.Recovery || seen[e.ID] {
				continue
			}
			seen[e.ID] = true
			v := d.view(l.DID(), e.ID)
			v.Key = e.Control.Key
			out.Recoveries = append(out.Recoveries, *v)
		}
	}
	return out, nil
}

// view says how a recovery stands.
func (d *desk) view(did api.DID, event api.Hash) *Recovery {
	v := &Recovery{DID: did, Event: event, State: stateAsked}
	if s, ok := d.started(event); ok {
		v.State, v.Since, v.Due = stateWaits, time.UnixMilli(s.Since).UTC(), time.UnixMilli(s.Due).UTC()
	}
	if known, _, _ := d.base(did); known != nil {
		for _, e := range known.Events() {
			if e.ID == event {
				v.State, v.Key = stateDone, e.Control.Key
			}
		}
	}
	if d.stopped(event) {
		v.State = stateStopped
	}
	return v
}

// VetoIn is the input of key.veto.
type VetoIn struct {
	Space     api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Event     api.Hash `json:"event" doc:"Id of the recovery, as key.recoveries shows it"`
	Signature []byte   `json:"signature" doc:"by the key that is in charge before the recovery (docs/protocol.md, 2.5), base64"`
}

// VetoOut is the output of key.veto.
type VetoOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) veto(ctx context.Context, call *api.Call, in *VetoIn) (*VetoOut, error) {
	const op = "key.veto"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, r, s, err := a.open(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for _, h := range host.Heads(api.Topic{Space: s.ID, Name: fact.KeysTopic}) {
		b, at, ok := r.Own(h.Tip.Feed, rowLog)
		l := publishedLog(b, ok)
		if l == nil {
			continue
		}
		switch err := l.CheckVeto(in.Event, in.Signature); {
		case api.KindOf(err) == api.NotFound:
			continue
		case err != nil:
			return nil, api.Wrap(op, err)
		}
		d := &desk{host: host, r: r, s: s, office: office(s), log: host.Log()}
		if d.view(l.DID(), in.Event).State == stateDone {
			return nil, api.Refusal(op, &api.Reason{
				Domain: Domain, Rule: "too-late", Text: "the recovery is in effect", Remedy: "the registrar decides by hand: icnctl member device",
			})
		}
		draft := api.Draft{
			Topic: api.Topic{Space: s.ID, Name: fact.KeysTopic}, Kind: kindVeto, Body: codec.MustMarshal(&veto{Event: in.Event, Signature: in.Signature}),
			Deps: []api.Position{at}, Idempotency: call.Idempotency,
		}
		if at.Feed == host.Feed(draft.Topic, signer.Device()) {
			draft.Deps = nil
		}
		rc, err := host.Append(ctx, signer, draft, call.Wait)
		return &VetoOut{Receipt: rc}, api.Wrap(op, err)
	}
	return nil, api.Errorf(op, api.NotFound, "event: no published log has a recovery %s", in.Event)
}

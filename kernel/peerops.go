package kernel

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/record"
)

// PeerOut is one peer of peer.list.
type PeerOut struct {
	Node      api.DID   `json:"node"`
	Addresses []string  `json:"addresses"`
	Members   []api.DID `json:"members"`
	State     string    `json:"state" doc:"up, banned or cut"`
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero" doc:"end of a cut; none: until peer mend"`
	Reason    string    `json:"reason,omitempty"`
	RTT       float64   `json:"rtt_ms"`
	Sent      uint64    `json:"sent"`
	Received  uint64    `json:"received"`
	Spaces    int       `json:"spaces"`
	Inbound   bool      `json:"inbound"`
	Build     string    `json:"build,omitempty"`
}

// PeerList is the answer of peer.list.
type PeerList struct {
	Peers []PeerOut `json:"peers"`
}

// DialIn names a peer by address.
type DialIn struct {
	Address string `json:"address" doc:"icn://<node did>@host:port" example:"icn://did:icn:586Z7H2vpX9qNhN2T4e9Utugie3ogjbxzGaMtM3E6HR5@192.0.2.7:7100"`
}

// NodeIn names a peer, for a ban with a reason, for a cut with a duration.
type NodeIn struct {
	Node    api.DID `json:"node,omitempty" doc:"node DID; for cut and mend empty means all"`
	Reason  string  `json:"reason,omitempty"`
	Seconds int     `json:"seconds,omitempty" doc:"how long a cut lasts, 0 until mended, at most 30 days"`
}

// Validate implements api.Validator.
func (in *NodeIn) Validate() error {
	if in.Node != "" {
		if _, err := record.ParseDID(string(in.Node)); err != nil {
			return err
		}
	}
	if in.Seconds < 0 || in.Seconds > 30*24*3600 {
		return api.Errorf("peer", api.Invalid, "seconds %d: want 0 to 2592000", in.Seconds)
	}
	if len(in.Reason) > 200 {
		return api.Errorf("peer", api.Invalid, "reason of %d bytes: at most 200", len(in.Reason))
	}
	return nil
}

// DialOut names the node that answered.
type DialOut struct {
	Node api.DID `json:"node"`
}

func (k *Kernel) peerOperations() []api.Operation {
	op := func(verb, method, scope, summary string) api.Operation {
		return api.Operation{Name: "peer." + verb, Method: method, Path: "/peers/" + verb, CLI: "peer " + verb, Scope: scope, Summary: summary, Write: method == "POST"}
	}
	list := op("list", "GET", "peer:read", "List peers, bans and cuts")
	list.Path = "/peers"
	act := func(fn func(ctx context.Context, in *NodeIn) error) func(context.Context, *api.Call, *NodeIn) (*None, error) {
		return func(ctx context.Context, _ *api.Call, in *NodeIn) (*None, error) {
			if k.net == nil {
				return nil, errNoPeers
			}
			return &None{}, fn(ctx, in)
		}
	}
	return []api.Operation{
		api.Handle(list, k.opPeers),
		k.pingOperation(),
		api.Handle(op("dial", "POST", "peer:write", "Connect to a peer and keep it"), func(ctx context.Context, _ *api.Call, in *DialIn) (*DialOut, error) {
			if k.net == nil {
				return nil, errNoPeers
			}
			node, err := k.net.dial(ctx, strings.TrimSpace(in.Address), nil)
			return &DialOut{node}, err
		}),
		api.Handle(op("ban", "POST", "peer:write", "Refuse a node until it is unbanned"), act(func(_ context.Context, in *NodeIn) error {
			if in.Node == "" {
				return api.Errorf("peer.ban", api.Invalid, "node: name one")
			}
			if err := k.setMeta(metaBan+string(in.Node), []byte(in.Reason), true); err != nil {
				return err
			}
			k.net.t.Ban(in.Node, in.Reason)
			return nil
		})),
		api.Handle(op("unban", "POST", "peer:write", "Take a ban back"), act(func(_ context.Context, in *NodeIn) error {
			b := k.st.NewBatch()
			defer b.Close()
			fold.DeleteMeta(b, metaBan+string(in.Node))
			if err := k.st.Commit(b, true); err != nil {
				return err
			}
			k.net.t.Unban(in.Node)
			return nil
		})),
		api.Handle(op("cut", "POST", "peer:write", "Stay away from a node, or from all, for a while"), act(func(_ context.Context, in *NodeIn) error {
			var until time.Time
			if in.Seconds > 0 {
				until = k.opt.Now().Add(time.Duration(in.Seconds) * time.Second)
			}
			k.net.t.Cut(in.Node, until)
			return nil
		})),
		api.Handle(op("mend", "POST", "peer:write", "End a cut and connect again"), act(func(_ context.Context, in *NodeIn) error {
			k.net.t.Mend(in.Node)
			return nil
		})),
	}
}

func (k *Kernel) opPeers(context.Context, *api.Call, *None) (*PeerList, error) {
	out := &PeerList{Peers: []PeerOut{}}
	if k.net == nil {
		return out, nil
	}
	for _, p := range k.net.t.Peers() {
		o := PeerOut{
			Node: p.Node, Addresses: p.Addresses, Members: []api.DID{}, State: "up", Since: p.Since.UTC(), RTT: float64(p.RTT.Microseconds()) / 1000,
			Sent: p.Sent, Received: p.Received, Spaces: len(p.Spaces), Inbound: p.Inbound, Build: p.Build,
		}
		for _, m := range p.Members {
			o.Members = append(o.Members, m.DID)
		}
		out.Peers = append(out.Peers, o)
	}
	for node, reason := range k.net.t.Bans() {
		out.Peers = append(out.Peers, PeerOut{Node: node, State: "banned", Reason: reason})
	}
	for node, until := range k.net.t.Cuts() {
		out.Peers = append(out.Peers, PeerOut{Node: node, State: "cut", Until: until})
	}
	slices.SortStableFunc(out.Peers, func(a, b PeerOut) int { return strings.Compare(string(a.Node), string(b.Node)) })
	return out, nil
}

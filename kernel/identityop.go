package kernel

import (
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// IdentityOut is the answer of id.show.
type IdentityOut struct {
	DID    api.DID `json:"did"`
	Device api.Key `json:"device"`
	Node   api.DID `json:"node"`

	Log KeyLog `json:"log" doc:"the key event log that the node started with"`
}

// KeyLog is what people see of a key event log.
type KeyLog struct {
	Bytes     []byte      `json:"bytes" doc:"the encoded log, base64"`
	Events    int         `json:"events"`
	Head      api.Hash    `json:"head" doc:"id of the newest event"`
	Kind      string      `json:"head_kind" doc:"inception, devices, rotation or recovery"`
	Key       api.Key     `json:"key_in_charge"`
	Hybrid    bool        `json:"hybrid" doc:"events need an ML-DSA signature, too"`
	Committed bool        `json:"rotation_key_committed" doc:"the recovery phrase can rotate"`
	Guardians int         `json:"guardians"`
	Needed    int         `json:"guardians_needed"`
	Delay     int         `json:"recovery_delay_hours"`
	Homes     []api.Hash  `json:"homes"`
	Devices   []KeyDevice `json:"devices"`
	Removed   []api.Key   `json:"removed_devices"`
}

// KeyDevice is a device that a log lets sign.
type KeyDevice struct {
	Key  api.Key `json:"key"`
	Role string  `json:"role" doc:"primary or secondary"`
}

// showIdentity says who this node signs for.
func (k *Kernel) showIdentity() (*IdentityOut, error) {
	s := k.opt.Identity.Signer()
	auth, err := record.ParseAuth(s.Auth())
	if err != nil {
		return nil, api.Errorf("id.show", api.Internal, "the node's own certificate: %w", err)
	}
	l := auth.Log
	head, t := l.Head(), l.Terms()
	v := KeyLog{
		Bytes: l.Bytes(), Events: len(l.Events()), Head: head.ID, Kind: head.Kind.String(), Key: l.Control().Key, Hybrid: len(l.Control().Hybrid) > 0,
		Committed: !t.Next.IsZero(), Guardians: len(t.Guardians.Commitments), Needed: int(t.Guardians.Threshold), Delay: int(t.Guardians.Delay),
		Homes: append([]api.Hash{}, t.Homes...), Devices: []KeyDevice{}, Removed: append([]api.Key{}, l.Removed()...),
	}
	for _, d := range l.Devices() {
		v.Devices = append(v.Devices, KeyDevice{Key: d.Key, Role: d.Role.String()})
	}
	return &IdentityOut{DID: s.DID(), Device: s.Device(), Node: k.selfDID(), Log: v}, nil
}

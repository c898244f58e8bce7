package membership

import (
	"context"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// ProfileIn is the input of member.profile. It replaces all of what was said before.
type ProfileIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Name  string   `json:"name" doc:"How you want to be called, 1 to 64 bytes on one line" example:"Ana Souza"`
	About string   `json:"about,omitempty" doc:"What others may want to know of you, at most 1024 bytes on one line"`
	Area  string   `json:"area,omitempty" doc:"Where you are to be found, at most 64 bytes on one line"`
}

// Validate implements api.Validator.
func (in *ProfileIn) Validate() error { return in.body().check() }

func (in *ProfileIn) body() *profile { return &profile{Name: in.Name, About: in.About, Area: in.Area} }

// ProfileOut is the output of member.profile.
type ProfileOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) profile(ctx context.Context, call *api.Call, in *ProfileIn) (*ProfileOut, error) {
	const op = "member.profile"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	s, err := a.open(op, r, in.Space)
	if err != nil {
		return nil, err
	}
	m, pos, ok := s.Member(signer.DID())
	if !ok {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-a-member", Text: "only a member has a profile", Inputs: map[string]string{"did": string(signer.DID())},
		})
	}
	if m.Device != signer.Device() {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-own-profile", Text: "another device acts for this member",
			Inputs: map[string]string{"device": m.Device.String()},
		})
	}
	rc, err := host.Append(ctx, signer, api.Draft{
		Topic: api.Topic{Space: s.ID, Name: fact.JoinTopic}, Deps: fact.Deps([]api.Position{pos}), Kind: kindProfile, Body: codec.MustMarshal(in.body()),
		Idempotency: call.Idempotency,
	}, call.Wait)
	return &ProfileOut{Receipt: rc}, api.Wrap(op, err)
}

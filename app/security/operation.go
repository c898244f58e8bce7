package security

import (
	"context"
	"fmt"
	"net/http"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	scopeRead   = "security:read"
	scopeWrite  = "security:write"
	scopePardon = "security:pardon"
)

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "security.list", Method: http.MethodGet, Path: "/security", CLI: "security list", Scope: scopeRead,
			Access: api.AccessOperator, Summary: "List the nodes and authors that this node holds something against",
		}, a.list),
		api.Handle(api.Operation{
			Name: "security.show", Method: http.MethodGet, Path: "/security/subject/{subject}", CLI: "security show", Scope: scopeRead,
			Access: api.AccessOperator, Summary: "Show what this node holds against a node or an author, and what follows",
		}, a.show),
		api.Handle(api.Operation{
			Name: "security.reports", Kind: api.List, Method: http.MethodGet, Path: "/security/reports", CLI: "security reports", Scope: scopeRead,
			Summary: "List reports of forks, appeals and pardons of a space, newest first",
		}, a.reports),
		api.Handle(api.Operation{
			Name: "security.appeal", Method: http.MethodPost, Path: "/security/appeal", CLI: "security appeal", Scope: scopeWrite, Write: true,
			Signs: api.SignsOne, Summary: "Ask the space's clerk to look again at what a node or an author is blamed for",
		}, a.appeal),
		api.Handle(api.Operation{
			Name: "security.pardon", Method: http.MethodPost, Path: "/security/pardon", CLI: "security pardon", Scope: scopePardon, Write: true,
			Signs: api.SignsOne, Summary: "Take back what a node or an author is blamed for",
		}, a.pardon),
	}
}

// AppealIn is the input of security.appeal.
type AppealIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Subject api.DID  `json:"subject,omitempty" doc:"DID of the node or author it is about; default: you"`
	Text    string   `json:"text" doc:"What should be known, 1 to 500 bytes on one line" example:"the fork came from a restored backup"`
}

// Validate implements api.Validator.
func (in *AppealIn) Validate() error {
	if !text(in.Text, maxText) {
		return fmt.Errorf("text: want 1 to %d bytes that print on one line", maxText)
	}
	return optionalDID(in.Subject)
}

func optionalDID(d api.DID) error {
	if d == "" {
		return nil
	}
	_, err := record.ParseDID(string(d))
	return err
}

// AppealOut is the output of security.appeal.
type AppealOut struct {
	Receipt api.Receipt `json:"receipt"`
}

func (a *App) appeal(ctx context.Context, call *api.Call, in *AppealIn) (*AppealOut, error) {
	const op = "security.appeal"
	host, r, s, err := a.open(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	subject := in.Subject
	if subject == "" {
		subject = signer.DID()
	}
	rc, err := host.Append(ctx, signer, api.Draft{
		Topic: api.Topic{Space: s.ID, Name: Topic}, Deps: cites(r, s, signer, member), Kind: kindAppeal,
		Body: codec.MustMarshal(&appeal{Subject: subject, Text: in.Text}), Idempotency: call.Idempotency,
	}, call.Wait)
	return &AppealOut{Receipt: rc}, api.Wrap(op, err)
}

// PardonIn is the input of security.pardon.
type PardonIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Subject api.DID  `json:"subject" doc:"DID of the node or author"`
	Text    string   `json:"text,omitempty" doc:"Why, at most 500 bytes on one line"`
	Local   bool     `json:"local,omitempty" doc:"On this node only, without a record: needs no office"`
}

// Validate implements api.Validator.
func (in *PardonIn) Validate() error {
	if in.Text != "" && !text(in.Text, maxText) {
		return fmt.Errorf("text: want at most %d bytes that print on one line", maxText)
	}
	_, err := record.ParseDID(string(in.Subject))
	return err
}

// PardonOut is the output of security.pardon.
type PardonOut struct {
	Receipt *api.Receipt `json:"receipt,omitempty" doc:"none for a local pardon"`
	Appeal  api.Hash     `json:"appeal,omitzero" doc:"the appeal that the pardon answers"`
	Level   string       `json:"level" doc:"what holds on this node now"`
}

func (a *App) pardon(ctx context.Context, call *api.Call, in *PardonIn) (*PardonOut, error) {
	const op = "security.pardon"
	out := &PardonOut{}
	host, err := a.with(op)
	if err != nil {
		return nil, err
	}
	if in.Local && call.Remote() {
		return nil, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "here-only", Text: "a pardon on this node only is up to who runs it", Remedy: "ask who runs this node, or have the clerk pardon for all nodes",
		})
	}
	if !in.Local {
		if out.Receipt, out.Appeal, err = a.writePardon(ctx, call, in); err != nil {
			return nil, err
		}
	}
	if a.table.pardon(host.Now(), in.Subject) {
		a.pardoned(host, in.Subject)
	}
	out.Level = a.table.level(host.Now(), in.Subject).String()
	return out, nil
}

// writePardon writes the record that every node of the space follows.
func (a *App) writePardon(ctx context.Context, call *api.Call, in *PardonIn) (*api.Receipt, api.Hash, error) {
	const op = "security.pardon"
	host, r, s, err := a.open(op, in.Space)
	if err != nil {
		return nil, api.Hash{}, err
	}
	defer r.Close()
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, api.Hash{}, err
	}
	if !s.Holds(signer, fact.Clerk, fact.Registrar) {
		o, _ := s.Office(fact.Clerk)
		return nil, api.Hash{}, api.Refusal(op, &api.Reason{
			Domain: Domain, Rule: "not-an-officer", Text: "only the clerk or the registrar of " + s.Genesis.Name + " pardons for all its nodes",
			Inputs: map[string]string{"clerk": string(o.DID)}, Remedy: "ask " + string(o.DID) + ", or pardon on this node only (--local)",
		})
	}
	deps := cites(r, s, signer, officer)
	answers, ok := openAppeal(r, s.ID, in.Subject)
	if ok {
		deps = append(deps, answers)
	}
	rc, err := host.Append(ctx, signer, api.Draft{
		Topic: api.Topic{Space: s.ID, Name: Topic}, Deps: fact.Deps(deps), Kind: kindPardon,
		Body: codec.MustMarshal(&pardon{Subject: in.Subject, Text: in.Text}), Idempotency: call.Idempotency,
	}, call.Wait)
	if err != nil {
		return nil, api.Hash{}, api.Wrap(op, err)
	}
	return &rc, answers.ID, nil
}

// maxLook is how many of a space's newest cases are looked at for an appeal.
const maxLook = 1000

// openAppeal returns the newest appeal about who that no pardon has answered.
func openAppeal(r api.Reader, space api.Hash, who api.DID) (api.Position, bool) {
	answered, looked := map[api.Hash]bool{}, 0
	for _, v := range r.Index(indexCase(space), nil, true) {
		var e entry
		if looked++; looked > maxLook || codec.Unmarshal(v, &e) != nil {
			break
		}
		answered[e.Appeal] = true
		if e.Kind != kindAppeal || e.Subject != who || answered[e.At] {
			continue
		}
		if rec, v, ok := r.Lookup(e.At); ok && v.Accepted && !v.Held {
			return rec.Position(), true
		}
	}
	return api.Position{}, false
}

// open opens a space for an operation; a zero id is the default space. The caller closes the Reader.
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

package webhook

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// The operations and their scopes.
const (
	opAdd        = "webhook.add"
	opList       = "webhook.list"
	opRemove     = "webhook.remove"
	opTest       = "webhook.test"
	opDeliveries = "webhook.deliveries"

	scopeRead  = "webhook:read"
	scopeWrite = "webhook:write"
)

// AddIn makes a hook.
type AddIn struct {
	Space api.Hash `json:"space,omitzero" doc:"id of the space; default: the only one this node follows"`
	URL   string   `json:"url" doc:"where to: https, a public address" example:"https://example.org/icn"`
	Types []string `json:"types,omitempty" doc:"of these types only, such as ledger.transferred, or of all of an app, such as ledger.*; at most 64; default: all"`
}

// Validate implements api.Validator.
func (in *AddIn) Validate() error {
	if len(in.URL) > maxURL {
		return api.Errorf(opAdd, api.TooLarge, "url of %d bytes: at most %d", len(in.URL), maxURL)
	}
	u, err := url.Parse(in.URL)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return api.Errorf(opAdd, api.Invalid, "url: want https://host/path, without a user or a fragment")
	}
	if len(in.Types) > maxTypes {
		return api.Errorf(opAdd, api.Invalid, "types: %d, want at most %d", len(in.Types), maxTypes)
	}
	return nil
}

// AddOut is a new hook.
type AddOut struct {
	Hook
	Secret string `json:"secret" doc:"signs the requests; shown this once"`
}

// Hook is a hook as its owner sees it.
type Hook struct {
	ID       string    `json:"id"`
	Owner    api.DID   `json:"owner"`
	Space    api.Hash  `json:"space"`
	URL      string    `json:"url"`
	Types    []string  `json:"types"`
	Created  time.Time `json:"created"`
	Cursor   string    `json:"cursor" doc:"of the last event that was delivered, or looked at and not wanted"`
	Failures int       `json:"failures" doc:"in a row"`
	Next     time.Time `json:"next,omitzero" doc:"no attempt before"`
	Disabled string    `json:"disabled,omitempty" doc:"why it is switched off"`
}

// ListIn asks for hooks.
type ListIn struct {
	Space api.Hash `json:"space,omitzero" doc:"of this space only"`
}

// ListOut is the answer of webhook.list.
type ListOut struct {
	Hooks []Hook `json:"hooks"`
}

// IDIn names a hook.
type IDIn struct {
	ID string `json:"id" doc:"of the hook" example:"3f9a11c204be77d0"`
}

// RemoveOut is the answer of webhook.remove.
type RemoveOut struct {
	ID string `json:"id"`
}

// DeliveriesOut is the answer of webhook.deliveries.
type DeliveriesOut struct {
	Tries []Try `json:"tries" doc:"the last 20 attempts, newest first"`
}

// Operations implements api.OperationProvider.
func (a *App) Operations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: opAdd, Method: http.MethodPost, Path: "/webhooks", CLI: "webhook add", Scope: scopeWrite,
			Summary: "Have events of a space told to a URL, signed, at least once",
		}, a.add),
		api.Handle(api.Operation{
			Name: opList, Method: http.MethodGet, Path: "/webhooks", CLI: "webhook list", Scope: scopeRead, Access: api.AccessOwn,
			Summary: "List your webhooks and how they do",
		}, a.list),
		api.Handle(api.Operation{
			Name: opRemove, Method: http.MethodDelete, Path: "/webhooks/{id}", CLI: "webhook remove", Scope: scopeWrite, Access: api.AccessOwn,
			Summary: "Remove a webhook",
		}, a.remove),
		api.Handle(api.Operation{
			Name: opTest, Method: http.MethodPost, Path: "/webhooks/{id}/test", CLI: "webhook test", Scope: scopeWrite, Access: api.AccessOwn,
			Summary: "Send a webhook an event that says it is a test; one that was switched off is on again when it is taken",
		}, a.test),
		api.Handle(api.Operation{
			Name: opDeliveries, Method: http.MethodGet, Path: "/webhooks/{id}/deliveries", CLI: "webhook deliveries", Scope: scopeRead, Access: api.AccessOwn,
			Summary: "List the last attempts of a webhook",
		}, a.deliveries),
	}
}

// ready returns an error before Start, and where the host has no events.
func (a *App) ready(op string) error {
	if a.local == nil {
		return api.Errorf(op, api.Unavailable, "the node is still starting, or has no events")
	}
	return nil
}

func refusal(op, rule, text string, inputs map[string]string) error {
	return api.Refusal(op, &api.Reason{Domain: Domain, Rule: rule, Text: text, Inputs: inputs})
}

func (a *App) add(_ context.Context, call *api.Call, in *AddIn) (*AddOut, error) {
	if call.Actor == "" {
		return nil, api.Errorf(opAdd, api.Unauthenticated, "a hook has an owner: log in")
	}
	u, err := url.Parse(in.URL)
	if err != nil {
		return nil, api.Errorf(opAdd, api.Invalid, "url: %w", err)
	}
	if u.Scheme != "https" && !a.opt.AllowHTTP {
		return nil, refusal(opAdd, "plain-http", "events are told over https only", map[string]string{"scheme": u.Scheme})
	}
	if checkHost(u.Hostname(), a.opt.AllowPrivate) != nil {
		return nil, refusal(opAdd, "private-address", "this node posts to public addresses only", map[string]string{"host": u.Hostname()})
	}
	secret, err := a.random(32)
	if err != nil {
		return nil, api.Errorf(opAdd, api.Internal, "no randomness: %w", err)
	}
	id, err := a.random(8)
	if err != nil {
		return nil, api.Errorf(opAdd, api.Internal, "no randomness: %w", err)
	}
	space := in.Space
	if space.IsZero() {
		if space, err = a.spaces.Default(); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.ready(opAdd); err != nil {
		return nil, err
	}
	if !slices.Contains(a.host.Follows(), space) {
		return nil, api.Errorf(opAdd, api.NotFound, "space %s: this node does not follow it", space)
	}
	if !a.may(a.host, call.Actor, space) {
		return nil, refusal(opAdd, "not-your-space", "only who may follow a space may have its events told", map[string]string{"space": space.String()})
	}
	known := a.host.EventTypes()
	for _, p := range in.Types {
		if !slices.ContainsFunc(known, func(t api.EventType) bool { return fits([]string{p}, t.Name) }) {
			return nil, api.Errorf(opAdd, api.Invalid, "types: %q is none: event.types lists them", p[:min(len(p), 80)])
		}
	}
	own := 0
	for _, h := range a.hooks {
		if h.Owner == call.Actor {
			own++
		}
	}
	if own >= a.opt.MaxOwn || len(a.hooks) >= a.opt.MaxHooks {
		return nil, refusal(opAdd, "too-many", "as many hooks as one owner, or this node, may have",
			map[string]string{"own": strconv.Itoa(own), "own_at_most": strconv.Itoa(a.opt.MaxOwn), "all": strconv.Itoa(len(a.hooks)), "all_at_most": strconv.Itoa(a.opt.MaxHooks)})
	}
	if len(call.Scopes) > maxScopes {
		return nil, api.Errorf(opAdd, api.TooLarge, "the call holds %d scopes: a hook keeps at most %d", len(call.Scopes), maxScopes)
	}
	_, cursor, err := a.host.Events("", 0, nil)
	if err != nil {
		return nil, err
	}
	h := &hook{terms: terms{
		ID: hex.EncodeToString(id), Owner: call.Actor, Space: space, URL: in.URL, Types: in.Types, Scopes: slices.Clone(call.Scopes), Secret: secret, Created: a.host.Now().UTC(),
	}, progress: progress{Cursor: cursor}, news: true}
	b, err := json.Marshal(&h.terms)
	if err != nil {
		return nil, api.Errorf(opAdd, api.Internal, "%w", err)
	}
	if err := cmp.Or(a.keep(h), a.local.Put(keyTerms+h.ID, b)); err != nil {
		return nil, err
	}
	a.hooks[h.ID] = h
	a.wake()
	return &AddOut{Hook: h.show(), Secret: "whsec_" + base64.StdEncoding.EncodeToString(secret)}, nil
}

func (h *hook) show() Hook {
	return Hook{
		ID: h.ID, Owner: h.Owner, Space: h.Space, URL: h.URL, Types: append([]string{}, h.Types...), Created: h.Created, Cursor: h.Cursor,
		Failures: h.Fails, Next: h.Next, Disabled: h.Disabled,
	}
}

// mine returns a hook of the caller; the operator has all. The caller holds mu.
func (a *App) mine(op string, call *api.Call, id string) (*hook, error) {
	if err := a.ready(op); err != nil {
		return nil, err
	}
	h := a.hooks[id]
	if h == nil || call.Signer == nil && (call.Actor == "" || h.Owner != call.Actor) {
		return nil, api.Errorf(op, api.NotFound, "hook %q: you have none of this id", id[:min(len(id), 40)])
	}
	return h, nil
}

func (a *App) list(_ context.Context, call *api.Call, in *ListIn) (*ListOut, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := &ListOut{Hooks: []Hook{}}
	for id := range a.hooks {
		if h, err := a.mine(opList, call, id); err == nil && (in.Space.IsZero() || in.Space == h.Space) {
			out.Hooks = append(out.Hooks, h.show())
		}
	}
	slices.SortFunc(out.Hooks, func(x, y Hook) int { return cmp.Or(x.Created.Compare(y.Created), strings.Compare(x.ID, y.ID)) })
	return out, nil
}

func (a *App) remove(_ context.Context, call *api.Call, in *IDIn) (*RemoveOut, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, err := a.mine(opRemove, call, in.ID)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(a.local.Delete(keyTerms+h.ID), a.local.Delete(keyProgress+h.ID)); err != nil {
		return nil, err
	}
	h.gone, h.Disabled = true, "it was removed"
	delete(a.hooks, h.ID)
	return &RemoveOut{ID: h.ID}, nil
}

func (a *App) test(ctx context.Context, call *api.Call, in *IDIn) (*Try, error) {
	a.mu.Lock()
	h, err := a.mine(opTest, call, in.ID)
	if err == nil {
		switch now := a.host.Now(); {
		case now.Sub(h.Tested) < testPause:
			err = api.Errorf(opTest, api.RateLimited, "a hook is tested every %s at most", testPause)
		case !a.may(a.host, h.Owner, h.Space):
			err = refusal(opTest, "not-your-space", "only who may follow a space may have its events told", map[string]string{"space": h.Space.String()})
		default:
			h.Tested = now
		}
	}
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	try := a.post(ctx, h, &api.Event{Type: evTest, Space: h.Space, Time: a.host.Now().UTC(), Data: []byte(`{"hook":"` + h.ID + `"}`)})
	a.mu.Lock()
	defer a.mu.Unlock()
	h.note(try)
	if good(try.Status) && !h.gone {
		h.Disabled, h.Fails, h.Since, h.Next, h.news = "", 0, time.Time{}, time.Time{}, true
		a.wake()
	}
	return &try, a.keep(h)
}

func (a *App) deliveries(_ context.Context, call *api.Call, in *IDIn) (*DeliveriesOut, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	h, err := a.mine(opDeliveries, call, in.ID)
	if err != nil {
		return nil, err
	}
	out := &DeliveriesOut{Tries: append([]Try{}, h.Tries...)}
	slices.Reverse(out.Tries)
	return out, nil
}

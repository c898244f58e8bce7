package kernel

import (
	"math"
	"reflect"
	"strings"
	"sync"

	"github.com/intercooperative/icn/kernel/api"
)

// concern says by which field an operation's inputs name the space that they concern: a space's id, or a whole topic. -1: there is none.
type concern struct{ space, topic int }

func (c concern) any() bool { return c.space >= 0 || c.topic >= 0 }

// concernOf finds the field "space", an id, or else the field "topic", a text, in an input's type.
func concernOf(t reflect.Type) concern {
	c := concern{-1, -1}
	if t.Kind() != reflect.Struct {
		return c
	}
	for i := range t.NumField() {
		f := t.Field(i)
		switch name, _, _ := strings.Cut(f.Tag.Get("json"), ","); {
		case name == "space" && f.Type == reflect.TypeFor[api.Hash]():
			c.space = i
		case name == "topic" && f.Type.Kind() == reflect.String:
			c.topic = i
		}
	}
	if c.space >= 0 {
		c.topic = -1 // a topic's name in that space
	}
	return c
}

// named returns the space that an input names; zero when it names none.
func (c concern) named(in any) (api.Hash, error) {
	v := reflect.ValueOf(in).Elem()
	switch {
	case c.space >= 0:
		if s := v.Field(c.space).Interface().(api.Hash); !s.IsZero() {
			return s, nil
		}
	case c.topic >= 0:
		t, err := api.ParseTopic(v.Field(c.topic).String())
		return t.Space, err
	}
	if m, ok := in.(api.Measured); ok {
		t, _, _ := m.Measure()
		return t.Space, nil
	}
	return api.Hash{}, nil
}

// enter refuses who cannot call the operation whatever the input says: before that is read.
func (k *Kernel) enter(e *entry, call *api.Call) error {
	if e.Scope == api.ScopePublic {
		return nil
	}
	bound := e.at.any() || e.Access == api.AccessOwn // a scope in one space may do
	switch {
	case call.Remote() && call.Actor == "":
		r := &api.Reason{Domain: "kernel", Rule: "not-logged-in", Text: "this needs to be told who asks", Remedy: "log in and send the token"}
		return &api.Error{Op: e.Name, Kind: api.Unauthenticated, Reason: r, Err: r}
	case !call.Can(e.Scope) && (!bound || !call.CanSomewhere(e.Scope)):
		return lacks(e.Name, e.Scope, call)
	case !call.Remote():
		return nil
	case e.Access == api.AccessHere:
		return api.Refusal(e.Name, &api.Reason{
			Domain: "kernel", Rule: "here-only", Text: "this is done on the node of the device that signs, and for nobody elsewhere: it makes the node itself do something, or gives a secret away",
			Remedy: "do it on your own node, or ask who runs this one",
		})
	case e.Access == api.AccessOperator:
		scope := api.ScopeNodeRead
		if e.Write {
			scope = api.ScopeNodeWrite
		}
		if !call.Can(scope) {
			return lacks(e.Name, scope, call)
		}
	case e.Access == api.AccessOwn, e.at.any():
	case e.domain != "":
		return api.Refusal(e.Name, &api.Reason{
			Domain: "kernel", Rule: "here-only", Text: "this concerns no space, and is served on this node only", Remedy: "ask who runs this node",
		})
	}
	return nil
}

// keyless reports whether the operation would write as an actor whose key is elsewhere.
func (e *entry) keyless(call *api.Call) bool {
	return e.Write && call.Signer == nil && e.domain != "" && e.Access != api.AccessOwn && e.Access != api.AccessOperator
}

func lacks(op, scope string, call *api.Call) error {
	return api.Refusal(op, &api.Reason{
		Domain: "kernel", Rule: "scope", Text: "this needs the scope " + scope,
		Inputs: map[string]string{"scope": scope, "held": strings.Join(call.Scopes, " ")}, Remedy: "ask for a token with that scope",
	})
}

// admit checks the call against the space that its input concerns: that the scope holds there, and, for a remote caller, that the space is open to the
// actor. An input that names none means the only space that is followed. The call that it returns can say what else the actor may see.
func (k *Kernel) admit(e *entry, call *api.Call, in any) (*api.Call, error) {
	if e.Access == api.AccessOwn || !e.at.any() {
		return k.seeing(e, call), nil
	}
	space, err := e.at.named(in)
	if err != nil {
		return nil, err
	}
	if !call.Remote() && call.Can(e.Scope) {
		return call, nil
	}
	if space.IsZero() {
		if space, err = k.space(space); err != nil {
			return nil, api.Wrap(e.Name, err)
		}
	}
	if !call.CanIn(e.Scope, space) {
		return nil, lacks(e.Name, e.Scope+"@"+space.String(), call)
	}
	if call.Remote() {
		if why := k.closed(call.Actor, space, nil); why != nil {
			return nil, api.Refusal(e.Name, why)
		}
	}
	return k.seeing(e, call), nil
}

// seeing is the call with See set, for a remote caller: a space is seen with the operation's scope there, by whom it is open to.
func (k *Kernel) seeing(e *entry, call *api.Call) *api.Call {
	if !call.Remote() {
		return call
	}
	c := *call
	c.See = func(space api.Hash) bool {
		return call.CanIn(e.Scope, space) && k.closed(call.Actor, space, nil) == nil
	}
	return &c
}

// closed says why an actor elsewhere may not have a space; nil when it may. What a record says may prove that it may: an invitation does. A space that is
// not followed, or whose founding is not here, is closed to everybody: nobody could be asked about it.
func (k *Kernel) closed(actor api.DID, space api.Hash, proofs []byte) *api.Reason {
	if k.opt.AccessDomain == "" || actor == "" || !k.follows.has(space) || !k.founded(space) {
		return spaceClosed(actor, space)
	}
	d := k.oracles.Evaluate(api.Request{Domain: k.opt.AccessDomain, Actor: actor, Action: "follow", Topic: api.Topic{Space: space}, Proofs: proofs})
	if d.Effect == api.Allow {
		return nil
	}
	if d.Reason == nil {
		return spaceClosed(actor, space)
	}
	return about(d.Reason, space)
}

func spaceClosed(actor api.DID, space api.Hash) *api.Reason {
	return &api.Reason{
		Domain: "kernel", Rule: "space-closed", Text: "the space is not open to you here: this node does not follow it, or shows it to nobody",
		Inputs: map[string]string{"space": space.String(), "actor": string(actor)}, Remedy: "ask a node that follows the space and knows you as one of it",
	}
}

// founded reports whether the founding of a space that is followed is here and has effect. That is asked with every call, and may change with every record
// until the founding is final.
func (k *Kernel) founded(space api.Hash) bool {
	end := k.recent.end() // of before: what comes meanwhile is looked at the next time
	if k.foundings.has(space, end) {
		return true
	}
	ok, final := (logView{k}).founded(space)
	if final {
		end = forGood
	}
	if ok {
		k.foundings.note(space, end)
	}
	return ok
}

// forGood stands for an end of the log that what is final does not depend on.
const forGood = math.MaxUint64

// foundings remembers of spaces that are followed where the log ended when they were found to be founded.
type foundings struct {
	mu sync.RWMutex
	at map[api.Hash]uint64
}

func (f *foundings) has(space api.Hash, end uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	at, ok := f.at[space]
	return ok && (at == end || at == forGood)
}

func (f *foundings) note(space api.Hash, end uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == nil {
		f.at = map[api.Hash]uint64{}
	}
	f.at[space] = end
}

// forget is for when the state is made anew.
func (f *foundings) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at = nil
}

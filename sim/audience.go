package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// audience is who listens at every node from elsewhere, and goes on by cursor over whatever happens to the node: the member without a node, with a token that is
// not good for everything, and a stranger. It checks that every final position is told once, in order and without a gap, that later tellings are the same,
// and that nobody is told what they may not see.
type audience struct {
	w        *World
	stranger api.Signer
	at       map[*kerneltest.Node]*listening
	scopes   map[string]string // by type of event
}

// listening is what the member has heard of one node.
type listening struct {
	turns   uint64
	cursor  string
	strange string // where the stranger is
	heard   []*api.Event
	final   map[api.Hash]api.Position // where each feed is final, as was told
	forked  map[api.Hash]bool         // feeds that are told to have forked
}

func (w *World) audience() *audience {
	return &audience{w: w, stranger: identity.Derive("elsewhere", "mallory"), at: map[*kerneltest.Node]*listening{}}
}

// Step implements kerneltest.Checker, on some node that has got something.
func (a *audience) Step(*kerneltest.Cluster) error {
	for _, n := range a.w.Nodes() {
		if l := a.at[n]; !n.Up() || n.Outsider || l != nil && l.turns == n.Turns() || a.w.Rand.IntN(4) > 0 {
			continue
		}
		if err := a.listen(n, false); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

// listen hears what is new on a node. Before the end its disk may be broken.
func (a *audience) listen(n *kerneltest.Node, end bool) error {
	if err := a.learn(n); err != nil {
		return err
	}
	l := a.at[n]
	if l == nil {
		l = &listening{cursor: "begin", strange: "begin", final: map[api.Hash]api.Position{}, forked: map[api.Hash]bool{}}
	}
	evs, err := n.Events(a.w.ivy.key, scopesElsewhere(), a.w.Space, l.cursor)
	if a.at[n] == nil && (api.KindOf(err) == api.Refused || api.KindOf(err) == api.NotFound) {
		return nil // the node has not heard yet that the member is one
	}
	if why := api.ReasonOf(err); why != nil && why.Rule == "reset" && why.Inputs["here"] != "" { // its state was rebuilt: all is told anew, under another name
		delete(a.at, n)
		return nil
	}
	strange, err2 := n.Events(a.stranger, []string{"*"}, api.Hash{}, l.strange)
	err = errors.Join(err, err2)
	if k := api.KindOf(err); !end && (k == api.Internal || k == api.Unavailable) {
		return nil // its disk has failed, which it will notice
	}
	if err != nil {
		return err
	}
	a.at[n], l.turns = l, n.Turns()
	for _, e := range evs {
		l.cursor = e.Cursor
		if e.Type == "event.mark" {
			continue
		}
		if err := a.allowed(e); err != nil {
			return err
		}
		switch e.Type {
		case "feed.forked":
			l.forked[e.Record.Feed] = true
		case "record.final":
			if err := l.closed(e); err != nil {
				return err
			}
		}
		l.heard = append(l.heard, e)
	}
	l.strange = strange[len(strange)-1].Cursor // the mark that there is no more
	if i := slices.IndexFunc(strange, func(e *api.Event) bool { return !e.Space.IsZero() }); i >= 0 {
		return fmt.Errorf("a stranger was told %s of space %s", strange[i].Type, strange[i].Space.Short())
	}
	return nil
}

// learn reads once which scope each type of event needs.
func (a *audience) learn(n *kerneltest.Node) error {
	if a.scopes != nil {
		return nil
	}
	out, err := n.Ask("event.types", kernel.None{})
	if err != nil {
		return err
	}
	a.scopes = map[string]string{}
	for _, t := range out.(*kernel.EventTypesOut).Types {
		a.scopes[t.Name] = t.Scope
	}
	return nil
}

// allowed checks that the member may see an event.
func (a *audience) allowed(e *api.Event) error {
	scope, known := a.scopes[e.Type]
	switch {
	case !known:
		return fmt.Errorf("the member elsewhere was told %s, which is no type of event", e.Type)
	case !slices.Contains(scopesElsewhere(), scope):
		return fmt.Errorf("the member elsewhere was told %s, which needs %s", e.Type, scope)
	case e.Space != a.w.Space && !e.Space.IsZero():
		return fmt.Errorf("the member elsewhere was told %s of space %s, where it is nobody", e.Type, e.Space.Short())
	}
	return nil
}

// closed checks that a final position is the next of its feed; only one that has forked may begin anew.
func (l *listening) closed(e *api.Event) error {
	var d kernel.FinalData
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return err
	}
	was := l.final[e.Record.Feed]
	anew := d.From == 1 && l.forked[e.Record.Feed]
	if d.From != was.Seq+1 && !anew || e.Record.Seq < d.From {
		return fmt.Errorf("feed %s of %s is told final from %d to %d, after %d was", e.Record.Feed.Short(), d.Topic, d.From, e.Record.Seq, was.Seq)
	}
	l.final[e.Record.Feed] = *e.Record
	return nil
}

// End implements kerneltest.Checker: all that is final was told, and who listens from the beginning now is told what was told all along.
func (a *audience) End(c *kerneltest.Cluster) error {
	for _, n := range c.Honest() {
		if n.Outsider || !n.Up() {
			continue
		}
		err := a.listen(n, true)
		if err == nil && a.at[n] == nil { // rebuilt since
			err = a.listen(n, true)
		}
		if err == nil && a.at[n] == nil {
			err = errors.New("it has not heard of the member elsewhere")
		}
		if err == nil {
			err = a.complete(n)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}

func (a *audience) complete(n *kerneltest.Node) error {
	l := a.at[n]
	r := n.Read("")
	defer r.Close()
	for _, h := range n.Heads(api.Topic{Space: a.w.Space}) {
		if mark, ok := r.Final(h.Tip.Feed); ok && mark.Seq > 0 && l.final[mark.Feed] != mark {
			return fmt.Errorf("feed %s of %s is final to %v, and %v was told", mark.Feed.Short(), h.Topic.Name, mark, l.final[mark.Feed])
		}
	}
	evs, err := n.Events(a.w.ivy.key, scopesElsewhere(), a.w.Space, "begin")
	if err != nil {
		return err
	}
	evs = slices.DeleteFunc(evs, func(e *api.Event) bool { return e.Type == "event.mark" })
	for i := range max(len(evs), len(l.heard)) {
		if i >= len(evs) || i >= len(l.heard) || !equal(evs[i], l.heard[i]) {
			return fmt.Errorf("event %d of %d is told otherwise now: %d were told all along", i, len(evs), len(l.heard))
		}
	}
	return nil
}

func equal(a, b *api.Event) bool {
	x, err := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err == nil && err2 == nil && string(x) == string(y)
}

package kerneltest

import (
	"context"
	"encoding/json"

	"github.com/intercooperative/icn/kernel/api"
)

// CallElsewhere asks an operation as the node's gateway does for a member whose key is elsewhere, logged in with that device and those scopes.
func (n *Node) CallElsewhere(who api.Signer, scopes []string, name string, in json.RawMessage, wait api.Wait) (out json.RawMessage, err error) {
	if n.k == nil {
		err = api.Errorf(name, api.Unavailable, "node %s is down", n.Name)
	} else {
		call := &api.Call{Actor: who.DID(), Device: who.Device(), Scopes: scopes, Wait: wait}
		if name == "record.submit" && n.c.opt.Plant.TakesPlaces {
			call.Signer = n.member // as if the record came from a peer, which may bring what others have signed
		}
		var v any
		if v, err = n.k.Call(context.Background(), call, name, in, nil); err == nil {
			out, err = json.Marshal(v)
		}
	}
	answer := out
	if err != nil {
		answer = []byte(api.KindOf(err).Code() + ": " + err.Error())
	}
	n.c.Note("%s for %s elsewhere: %s %s -> %s", n.Name, who.Device().String()[:8], name, in, answer)
	return out, err
}

// Events returns what has happened since a cursor as a listener is told it who is logged in from elsewhere, up to the first moment at which there is no more:
// in one space, or with a zero one in all.
func (n *Node) Events(who api.Signer, scopes []string, space api.Hash, after string) (evs []*api.Event, err error) {
	if n.k == nil {
		return nil, api.Errorf("event.stream", api.Unavailable, "node %s is down", n.Name)
	}
	in := map[string]string{"after": after}
	if !space.IsZero() {
		in["space"] = space.String()
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	live := api.Errorf("event.stream", api.Other, "there is no more")
	_, err = n.k.Call(context.Background(), &api.Call{Actor: who.DID(), Device: who.Device(), Scopes: scopes}, "event.stream", raw, func(item any) error {
		e := item.(*api.Event)
		evs = append(evs, e)
		if e.Type == "event.mark" && string(e.Data) == `{"live":true}` {
			return live
		}
		return nil
	})
	if err == live { //nolint:errorlint // the very error
		err = nil
	}
	return evs, err
}

// forget takes the newest change out of the journal of a node whose plant is to lose it: the last row of more than an index.
func (n *Node) forget() error {
	it, err := n.disk.Iter([]byte{'J'}, []byte{'K'})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.Last(); ok; ok = it.Prev() {
		if len(it.Value()) > 0 {
			b := n.disk.NewBatch()
			defer b.Close()
			b.Delete(it.Key())
			return n.disk.Commit(b, true)
		}
	}
	return it.Err()
}

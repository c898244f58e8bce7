package gateway

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/edge/rpc"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	keepFor     = 24 * time.Hour
	maxKept     = 8000     // a Local takes 8,192 keys
	maxKeptSize = 16 << 10 // and values of so many bytes
)

// keeper answers a write that is repeated under its idempotency key as it was answered before, across restarts: same actor, operation, key and input,
// same answer. Another input is a Conflict; a repetition while the first still runs waits for it.
//
// Kept are answers that say what became of the write: that it is done, and that it is refused for good. An error that says to come back is not, and
// neither is what somebody without a token asks for. Kept are 24 hours, and 8,000 in all: when there are more, whoever has the most loses their oldest.
// Of a crash between the write and the keeping of its answer it knows nothing: then the write runs again under the same key, which the kernel's own
// memory of keys makes one record.
type keeper struct {
	rpc.Dispatcher
	store api.Local
	log   *slog.Logger
	now   func() time.Time
	ops   map[string]api.Operation

	mu      sync.Mutex
	loaded  bool
	running map[string]*attempt
	kept    map[string]*list.Element // by name
	oldest  *list.List               // of *note, the oldest first
	of      map[api.DID]int
}

// attempt is a write that runs.
type attempt struct {
	input string
	done  chan struct{}
}

// note is what is remembered of a kept answer without reading it.
type note struct {
	name  string // in the store
	actor api.DID
	at    time.Time
}

// kept is an answer in the store.
type kept struct {
	Actor api.DID         `json:"actor"`
	At    time.Time       `json:"at"`
	Input string          `json:"input"` // digest
	Out   json.RawMessage `json:"out,omitempty"`
	Error *jsonrpc.Error  `json:"error,omitempty"`
	Large bool            `json:"large,omitempty"` // the answer was too large to be kept
}

func newKeeper(d rpc.Dispatcher, store api.Local, log *slog.Logger) *keeper {
	k := &keeper{
		Dispatcher: d, store: store, log: log, now: time.Now, ops: map[string]api.Operation{}, running: map[string]*attempt{},
		kept: map[string]*list.Element{}, oldest: list.New(), of: map[api.DID]int{},
	}
	for _, op := range d.Operations() {
		k.ops[op.Name] = op
	}
	return k
}

// Call implements rpc.Dispatcher.
func (k *keeper) Call(ctx context.Context, call *api.Call, name string, raw json.RawMessage, emit func(item any) error) (any, error) {
	op := k.ops[name]
	// What it may not do it may not be told of, either: the dispatcher refuses. Public operations answer with tokens, which are kept nowhere.
	if call.Idempotency == "" || call.Actor == "" || !op.Write || op.Scope == api.ScopePublic || emit != nil || !call.Can(op.Scope) {
		return k.Dispatcher.Call(ctx, call, name, raw, emit)
	}
	id, input := nameOf(call, name), inputOf(raw)
	mine, before, err := k.begin(ctx, id, input)
	if err != nil {
		return nil, api.Wrap(name, err)
	}
	if before != nil {
		return before.answer(name)
	}
	defer k.end(id, mine)
	out, err := k.Dispatcher.Call(ctx, call, name, raw, nil)
	return k.keep(id, kept{Actor: call.Actor, At: k.now(), Input: input}, out, err)
}

// nameOf is the key's name in the store.
func nameOf(call *api.Call, op string) string {
	sum := sha256.Sum256([]byte(string(call.Actor) + "\x00" + op + "\x00" + call.Idempotency))
	return hex.EncodeToString(sum[:])
}

// inputOf is a digest of an input that does not depend on its spaces and the order of its members.
func inputOf(raw json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err == nil {
		if b, err := json.Marshal(v); err == nil {
			raw = b
		}
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// begin makes the caller the one who does it, or returns the answer that was given before.
func (k *keeper) begin(ctx context.Context, id, input string) (*attempt, *kept, error) {
	for {
		k.mu.Lock()
		if err := k.load(); err != nil {
			k.mu.Unlock()
			return nil, nil, err
		}
		other := k.running[id]
		if other == nil {
			break
		}
		k.mu.Unlock()
		if other.input != input {
			return nil, nil, errOtherInput()
		}
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, nil, api.Errorf("", api.Conflict, "the first request with this Idempotency-Key still runs; ask again")
		}
	}
	defer k.mu.Unlock()
	k.expire()
	if k.kept[id] != nil {
		before, err := k.read(id)
		switch {
		case err != nil:
			return nil, nil, err
		case before != nil && before.Input != input:
			return nil, nil, errOtherInput()
		case before != nil:
			return nil, before, nil
		}
	}
	a := &attempt{input: input, done: make(chan struct{})}
	k.running[id] = a
	return a, nil, nil
}

func errOtherInput() error {
	return api.Errorf("", api.Conflict, "this Idempotency-Key was used for another input; take a new key for a new request")
}

func (k *keeper) end(id string, a *attempt) {
	k.mu.Lock()
	delete(k.running, id)
	k.mu.Unlock()
	close(a.done)
}

// keep remembers an answer that says what became of the write, and returns it.
func (k *keeper) keep(id string, a kept, out any, err error) (any, error) {
	switch {
	case err == nil:
		var merr error
		if a.Out, merr = json.Marshal(out); merr != nil {
			return out, nil // whoever writes the answer finds the same
		}
		out = a.Out
	case lasting(err):
		a.Error = jsonrpc.ErrorOf(err)
	default:
		return nil, err
	}
	value, merr := json.Marshal(a)
	if len(value) > maxKeptSize {
		value, merr = json.Marshal(kept{Actor: a.Actor, At: a.At, Input: a.Input, Large: true})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.expire()
	for len(k.kept) >= maxKept {
		k.drop(k.mostKept())
	}
	if merr == nil {
		merr = k.store.Put(id, value)
	}
	if merr != nil { // it is done all the same, and who asked must learn that
		k.log.Error("gateway: an answer could not be kept for its idempotency key", "error", merr)
		return out, err
	}
	k.note(&note{name: id, actor: a.Actor, at: a.At})
	return out, err
}

// lasting reports whether an error says what became of the write, and not to come back.
func lasting(err error) bool {
	if api.ReceiptOf(err) != nil {
		return true
	}
	switch api.KindOf(err) {
	case api.Refused, api.NotFound, api.Conflict:
		return true
	}
	return false
}

// answer returns what was answered.
func (a *kept) answer(op string) (any, error) {
	switch {
	case a.Large:
		return nil, api.Errorf(op, api.Conflict, "this was done at %s under this Idempotency-Key; its answer was too large to be kept", a.At.UTC().Format(time.RFC3339))
	case a.Error != nil:
		return nil, a.Error.Err()
	}
	return a.Out, nil
}

// load learns, once, what is kept from before. The caller holds mu.
func (k *keeper) load() error {
	if k.loaded {
		return nil
	}
	var notes []*note
	err := k.store.Each("", func(name string, value []byte) bool {
		var a kept
		if json.Unmarshal(value, &a) == nil {
			notes = append(notes, &note{name, a.Actor, a.At})
		}
		return true
	})
	if err != nil {
		return err
	}
	slices.SortFunc(notes, func(a, b *note) int { return a.at.Compare(b.at) })
	for _, n := range notes {
		k.note(n)
	}
	k.loaded = true
	return nil
}

// read returns a kept answer; nil when it is not there any more. The caller holds mu.
func (k *keeper) read(id string) (*kept, error) {
	var a *kept
	var bad error
	err := k.store.Each(id, func(_ string, value []byte) bool {
		a = &kept{}
		bad = json.Unmarshal(value, a)
		return false
	})
	return a, errors.Join(err, bad)
}

// note remembers what is in the store. The caller holds mu.
func (k *keeper) note(n *note) {
	if old := k.kept[n.name]; old != nil {
		k.forget(old)
	}
	k.kept[n.name] = k.oldest.PushBack(n)
	k.of[n.actor]++
}

// expire drops what is old. The caller holds mu.
func (k *keeper) expire() {
	for e := k.oldest.Front(); e != nil && k.now().Sub(e.Value.(*note).at) >= keepFor; e = k.oldest.Front() {
		k.drop(e)
	}
}

// mostKept returns the oldest answer of whoever has the most. The caller holds mu.
func (k *keeper) mostKept() *list.Element {
	most := slices.Max(slices.Collect(maps.Values(k.of)))
	e := k.oldest.Front()
	for k.of[e.Value.(*note).actor] != most {
		e = e.Next()
	}
	return e
}

// drop forgets an answer and takes it out of the store. The caller holds mu.
func (k *keeper) drop(e *list.Element) {
	if err := k.store.Delete(e.Value.(*note).name); err != nil {
		k.log.Warn("gateway: an old answer could not be deleted", "error", err)
	}
	k.forget(e)
}

func (k *keeper) forget(e *list.Element) {
	n := e.Value.(*note)
	k.oldest.Remove(e)
	delete(k.kept, n.name)
	if k.of[n.actor]--; k.of[n.actor] == 0 {
		delete(k.of, n.actor)
	}
}

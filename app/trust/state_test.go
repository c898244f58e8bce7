package trust

import (
	"bytes"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

func TestRules(t *testing.T) {
	f := start(t, "cooperative", Options{})
	f.admit("bob")
	genesis, _ := f.spaces.Genesis(f.space)
	admitted, _ := f.spaces.MemberDep(f.space, f.did("bob"))
	foreign, _ := f.spaces.Genesis(f.found("eve", "test"))
	topic := api.Topic{Space: f.space, Name: Topic}
	cat := f.did("cat")
	raw := func(to api.DID, score int16, context string) []byte {
		return codec.MustMarshal(&body{To: to, Score: score, Context: context, At: 1})
	}
	for _, c := range []struct {
		name, who string
		body      []byte
		kind      string
		deps      []api.Position
		rule      string // "" is accepted
	}{
		{"not a body", "bob", []byte{1, 2}, Kind, []api.Position{admitted}, "malformed"},
		{"another array", "bob", codec.MustMarshal([]any{string(cat), 1}), Kind, []api.Position{admitted}, "malformed"},
		{"score too high", "bob", raw(cat, 10001, ""), Kind, []api.Position{admitted}, "malformed"},
		{"score too low", "bob", raw(cat, -10001, ""), Kind, []api.Position{admitted}, "malformed"},
		{"context", "bob", raw(cat, 1, "Hours"), Kind, []api.Position{admitted}, "malformed"},
		{"long context", "bob", raw(cat, 1, strings.Repeat("x", 33)), Kind, []api.Position{admitted}, "malformed"},
		{"no DID", "bob", raw("cat", 1, ""), Kind, []api.Position{admitted}, "malformed"},
		{"another spelling", "bob", raw("did:icn:1"+cat[8:], 1, ""), Kind, []api.Position{admitted}, "malformed"},
		{"self", "bob", raw(f.did("bob"), 1, ""), Kind, []api.Position{admitted}, "self-attestation"},
		{"unknown kind", "bob", raw(cat, 1, ""), "praise", []api.Position{admitted}, "unknown-kind"},
		{"cites nothing", "bob", raw(cat, 1, ""), Kind, nil, "no-genesis"},
		{"cites a past without the admission", "bob", raw(cat, 1, ""), Kind, []api.Position{genesis}, "not-a-member"},
		{"a stranger", "cat", raw(f.did("bob"), 1, ""), Kind, []api.Position{admitted}, "not-a-member"},
		{"another device of a member", "bob/phone", raw(cat, 1, ""), Kind, []api.Position{admitted}, "not-a-member"},
		{"a test space does not vouch for another", "bob", raw(cat, 1, ""), Kind, []api.Position{foreign}, "foreign-dep"},
		{"a member", "bob", raw(cat, 10000, "hours"), Kind, []api.Position{admitted}, ""},
		{"a member again, citing nothing", "bob", raw(cat, -10000, strings.Repeat("x", 32)), Kind, nil, ""},
		{"the founder", "ann", raw(cat, 1, ""), Kind, []api.Position{genesis}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := f.m.Append(f.m.Signer(c.who), api.Draft{Topic: topic, Kind: c.kind, Body: c.body, Deps: c.deps})
			rule := ""
			if r := api.ReasonOf(err); r != nil {
				rule = r.Rule
			} else if err != nil {
				t.Fatal(err)
			}
			if rule != c.rule {
				t.Errorf("got %q (%v), want %q", rule, err, c.rule)
			}
		})
	}
	f.same()
}

// TestTooMany: the bound is on standing attestations of one feed; revoking makes room.
func TestTooMany(t *testing.T) {
	a := New(nil, Options{})
	rows := map[string][]byte{string(feedKey): api.Seq8(maxEdges - 1)}
	attest := func(to string, score int16) string {
		tx := &mapTx{rows: rows}
		out := a.Apply(tx, &api.Record{Author: "did:icn:x", Kind: Kind, Body: codec.MustMarshal(&body{To: kerneltest.Signer(to).DID(), Score: score})})
		if out.Void != nil {
			return out.Void.Rule
		}
		return ""
	}
	for i, c := range []struct {
		to    string
		score int16
		rule  string
	}{
		{"a", 5, ""}, {"b", 5, "too-many"}, {"a", 6, ""}, {"b", 0, ""}, {"b", 5, "too-many"}, {"a", 0, ""}, {"b", -5, ""}, {"c", 1, "too-many"},
	} {
		if got := attest(c.to, c.score); got != c.rule {
			t.Errorf("step %d: %q, want %q", i, got, c.rule)
		}
	}
}

// mapTx is the part of Tx that a feed that has started needs.
type mapTx struct {
	api.Tx
	rows map[string][]byte
}

func (t *mapTx) Own(key []byte) ([]byte, bool) { v, ok := t.rows[string(key)]; return v, ok }
func (t *mapTx) Put(key, value []byte)         { t.rows[string(key)] = bytes.Clone(value) }

func TestTwoDevices(t *testing.T) {
	f := start(t, "test", Options{})
	f.add("bob", "cat", 0.9, "")
	f.add("bob/phone", "cat", 0.4, "")
	f.add("bob", "dan", 0.9, "")
	f.add("bob/phone", "dan", 0, "")
	if got := f.ask("bob", "cat", ""); got.Score != 0.4 {
		t.Errorf("the later device does not hold: %+v", got)
	}
	if got := f.ask("bob", "dan", ""); got.Score != 0 {
		t.Errorf("the later device does not revoke: %+v", got)
	}
	f.same()
	f.add("bob", "cat", 0.8, "")
	if got := f.ask("bob", "cat", ""); got.Score != 0.8 {
		t.Errorf("the first device does not hold again: %+v", got)
	}
	f.same()
}

// TestForkedFeed: what a forked feed says from the fork on has no effect until a final position gives it one.
func TestForkedFeed(t *testing.T) {
	f := start(t, "test", Options{})
	bob := f.m.Signer("bob")
	f.add("bob", "cat", 0.5, "")
	topic := api.Topic{Space: f.space, Name: Topic}
	first, _ := f.m.Read("trust").Head(f.host.Feed(topic, bob.Device()))
	f.add("bob", "cat", 0.9, "")
	second, _ := f.m.Read("trust").Head(first.Feed)
	f.same()
	other, err := f.m.Make(bob, api.Draft{Topic: topic, Kind: Kind, Body: codec.MustMarshal(&body{To: f.did("cat"), Score: -10000})}, first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.m.Deliver(other); err != nil {
		t.Fatal(err)
	}
	f.same()
	if got := f.ask("bob", "cat", ""); got.Score != 0.5 {
		t.Errorf("forked: %+v", got)
	}
	f.must(f.m.Append(f.m.Signer("ann"), api.Draft{Topic: api.Topic{Space: f.space, Name: fact.FinalityTopic}, Kind: "final", Deps: []api.Position{second}}))
	f.same()
	if got := f.ask("bob", "cat", ""); got.Score != 0.9 {
		t.Errorf("after the final position: %+v", got)
	}
}

func FuzzBody(f *testing.F) {
	f.Add(codec.MustMarshal(&body{To: kerneltest.Signer("x").DID(), Score: -3, Context: "hours", At: 5}))
	f.Add([]byte{0x84})
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := decode(raw)
		if err != nil {
			return
		}
		if again := codec.MustMarshal(b); !bytes.Equal(again, raw) {
			t.Errorf("two encodings of one body: %x and %x", raw, again)
		}
		// What is put away is found again.
		key, value := edgeKey(b.Context, b.To), codec.MustMarshal(&row{Score: b.Score, At: b.At, Stamp: 7})
		want := Attestation{From: "a", To: b.To, Score: b.Score, Context: b.Context, At: b.At, stamp: 7}
		if got, ok := readEdge("a", key, value); !ok || got != want {
			t.Errorf("put %+v, got %+v", want, got)
		}
	})
}

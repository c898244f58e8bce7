package kernel

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
)

func all([]api.DID) bool { return true }

// What is remembered is bounded, and whoever asks for trouble pushes out their own.
func TestRefusalsAreBoundedAndFair(t *testing.T) {
	at := time.Unix(1000, 0)
	r := newRefusals(func() time.Time { return at }, nil)
	note := func(peer bool, who api.DID, text string) string {
		at = at.Add(time.Second)
		return r.note(peer, []api.DID{who}, "do", api.Refused, &api.Reason{Domain: "d", Rule: "r", Text: text}, 1)
	}
	mine := note(false, "ann", "first")
	for i := range 3 * maxRefusalsEach {
		note(false, "ben", fmt.Sprint(i))
	}
	if n := len(r.list(1<<20, func(who []api.DID) bool { return who[0] == "ben" })); n != maxRefusalsEach {
		t.Errorf("%d remembered of one who was refused often, want %d", n, maxRefusalsEach)
	}
	// Many others, few times each: those with more make room.
	for i := range maxRefusals {
		note(false, api.DID(fmt.Sprint("did", i)), "once")
	}
	if n := len(r.list(1<<20, all)); n != maxRefusals {
		t.Errorf("%d remembered, want %d", n, maxRefusals)
	}
	if n := len(r.list(1<<20, func(who []api.DID) bool { return who[0] == "ben" })); n > 1 {
		t.Errorf("%d are left to the one with most", n)
	}
	// Peers have a share of their own, however many they are.
	again := note(false, "ann", "second")
	for i := range 2 * maxRefusals {
		note(true, api.DID(fmt.Sprint("node", i)), "peer")
	}
	if _, ok := r.find(again, all); !ok {
		t.Error("peers have pushed a caller's refusal out")
	}
	if len(r.byName) != r.calls.total+r.peers.total || r.peers.total != maxRefusals {
		t.Errorf("%d names, %d and %d", len(r.byName), r.calls.total, r.peers.total)
	}
	if mine == again || !strings.HasPrefix(mine, refusalPrefix) || len(mine) != len(refusalPrefix)+10 {
		t.Errorf("%q, %q", mine, again)
	}
}

func TestRefusalsAlikeAreOne(t *testing.T) {
	at := time.Unix(1000, 0)
	r := newRefusals(func() time.Time { return at }, &Inline{Seed: 1})
	why := &api.Reason{Domain: "d", Rule: "r", Text: "no", Inputs: map[string]string{"a": "1"}}
	one := r.note(true, []api.DID{"n", "ann"}, "push", api.RateLimited, why, 3)
	at = at.Add(time.Minute)
	if two := r.note(true, []api.DID{"n", "ann"}, "push", api.RateLimited, why, 4); two != one {
		t.Errorf("%s, then %s", one, two)
	}
	other := *why
	other.Inputs = map[string]string{"a": "2"}
	for name, id := range map[string]string{
		"another action": r.note(true, []api.DID{"n", "ann"}, "ask", api.RateLimited, why, 1),
		"another kind":   r.note(true, []api.DID{"n", "ann"}, "push", api.Refused, why, 1),
		"other inputs":   r.note(true, []api.DID{"n", "ann"}, "push", api.RateLimited, &other, 1),
		"other people":   r.note(true, []api.DID{"n", "ben"}, "push", api.RateLimited, why, 1),
		"another one":    r.note(true, []api.DID{"m"}, "push", api.RateLimited, why, 1),
		"nobody":         r.note(true, []api.DID{""}, "push", api.RateLimited, why, 1),
		"no times":       r.note(true, []api.DID{"n", "ann"}, "push", api.RateLimited, why, 0),
	} {
		if id == one {
			t.Errorf("%s is taken for the same", name)
		}
	}
	x, ok := r.find(one, all)
	if !ok || x.count != 7 || x.last.Sub(x.first) != time.Minute {
		t.Errorf("%+v", x)
	}
	why.Inputs["a"] = "changed later"
	if x, _ := r.find(one, all); x.reason.Inputs["a"] != "1" {
		t.Error("the reason is the caller's own")
	}
}

// A reason may quote what others sent.
func TestReasonsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	in := map[string]string{}
	for i := range 100 {
		in[fmt.Sprint(i, long)] = long
	}
	r := bounded(&api.Reason{Domain: api.Domain(long), Rule: long, Text: long, Remedy: long, Inputs: in})
	size := len(r.Domain) + len(r.Rule) + len(r.Text) + len(r.Remedy)
	for k, v := range r.Inputs {
		size += len(k) + len(v)
	}
	if most := (4 + 2*maxReasonInputs) * (maxReasonText + 3); size > most || len(r.Inputs) > maxReasonInputs {
		t.Errorf("%d bytes, %d inputs", size, len(r.Inputs))
	}
}

func FuzzDecodeRefusals(f *testing.F) {
	k := &Kernel{refusals: newRefusals(time.Now, &Inline{Seed: 1})}
	k.refusals.note(true, []api.DID{"n"}, "follow", api.Refused, &api.Reason{Domain: "d", Rule: "r", Text: "t", Inputs: map[string]string{"a": "\x1b[2J"}}, 1)
	b, err := k.answerRefusals(time.Now(), &courier.Request{Peer: "n"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := decodeRefusals(b, "me")
		if err != nil {
			return
		}
		for _, x := range out.Refusals {
			for _, s := range append(slices.Collect(maps.Values(x.Reason.Inputs)), x.ID, x.Action, x.Kind, x.Reason.Text, x.Reason.Rule, x.Reason.Remedy, string(x.Reason.Domain)) {
				if strings.ContainsFunc(s, unicode.IsControl) || len(s) > maxDetail {
					t.Fatalf("%q", s)
				}
			}
		}
	})
}

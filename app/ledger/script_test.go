package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// TestScripts runs testdata/scripts/*.txt: a story in commands, and what becomes of it. `go test -rewrite` writes the answers anew; read the difference.
//
//	space limit=N [p=N]                  founds a space with the currency hours; the clerk is a member
//	member NAME...                       admits
//	transfer from=A to=B amount=N        through the operation
//	raw from=A to=B amount=N [cite=(X,...)] [at=SEQ]   a record with those citations: members, view, admission; at=SEQ forks
//	ack who=A cite=(X,...)
//	grant to=A limit=N
//	final [NAME...]                      the witness states those feeds, or all
//	balance NAME...
//	void                                 what has no effect, and why
//	state                                all balances; checks the books, and that another order of delivery gives the same
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "space" {
				var limit, p int64
				d.ScanArgs(t, "limit", &limit)
				d.MaybeScanArgs(t, "p", &p)
				w = newWorld(t, hours(limit, p))
				return "founded"
			}
			w.t = t
			return w.command(t, d)
		})
	})
}

func (w *world) command(t *testing.T, d *datadriven.TestData) string {
	var names []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			names = append(names, a.Key)
		}
	}
	arg := func(key string) (s string) { d.ScanArgs(t, key, &s); return s }
	num := func(key string) (n int64) { d.ScanArgs(t, key, &n); return n }
	var b strings.Builder
	switch d.Cmd {
	case "member":
		for _, n := range names {
			w.admit(n)
		}
		return "admitted"
	case "transfer":
		out, err := w.pay(arg("from"), arg("to"), num("amount"))
		if err != nil {
			return w.failure(err)
		}
		return fmt.Sprintf("seq %d balance %d available %d", out.Receipt.Position.Seq, out.Balance, out.Available)
	case "raw":
		from, prev := arg("from"), w.tip(arg("from"))
		if d.HasArg("at") {
			prev = w.before(from, uint64(num("at")))
		}
		rec, out := w.deliver(from, w.transferDraft(arg("to"), num("amount"), w.cited(d)...), prev)
		if out.Void != nil {
			return fmt.Sprintf("seq %d void: %s", rec.Seq, w.reason(out.Void))
		}
		return fmt.Sprintf("seq %d accepted", rec.Seq)
	case "ack":
		_, err := w.m.Append(w.signer(arg("who")), api.Draft{Topic: w.topic(fact.LedgerTopic), Kind: kindAck, Body: codec.MustMarshal(&ack{}), Deps: fact.Deps(w.cited(d))})
		if err != nil {
			return w.failure(err)
		}
		return "accepted"
	case "grant":
		out, err := w.call("clerk", "ledger.grant", GrantIn{To: w.did(arg("to")), Currency: "hours", Limit: num("limit")})
		if err != nil {
			return w.failure(err)
		}
		return fmt.Sprintf("number %d", out.(*GrantOut).Number)
	case "final":
		return fmt.Sprintf("%d feeds", w.final(names...))
	case "balance":
		for _, n := range names {
			a := w.balance(n)
			fmt.Fprintf(&b, "%s: %d, counted %d, unacknowledged %d, limit %d, available %d\n", n, a.Balance, a.FinalCredits, a.Unacknowledged, a.Limit, a.Available)
		}
	case "void":
		out, err := w.call("clerk", "ledger.void", VoidsIn{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range out.(*VoidsOut).Entries {
			fmt.Fprintf(&b, "%s: %s\n", w.names[e.Author], w.reason(e.Reason))
		}
	case "state":
		w.verify()
		w.sameElsewhere(1)
		r := w.m.Read("ledger")
		defer r.Close()
		for k, n := range r.Counters(spaceKey(nil, counterBalance, w.space)) {
			_, did, _ := strings.Cut(string(k), "/hours/")
			if did == "" {
				_, did, _ = strings.Cut(string(k), "hours/")
			}
			names = append(names, fmt.Sprintf("%s %d", w.names[api.DID(did)], n))
		}
		slices.Sort(names)
		return strings.Join(names, "\n")
	default:
		t.Fatalf("no command %q", d.Cmd)
	}
	return b.String()
}

// cited reads cite=(a,b,view,admission).
func (w *world) cited(d *datadriven.TestData) (deps []api.Position) {
	for _, a := range d.CmdArgs {
		if a.Key != "cite" {
			continue
		}
		for _, n := range a.Vals {
			switch n {
			case "view":
				deps = append(deps, w.view())
			case "admission":
				deps = append(deps, w.admission())
			default:
				deps = append(deps, w.tip(n))
			}
		}
	}
	return deps
}

// before is the position that a record at seq of a member's feed follows.
func (w *world) before(name string, seq uint64) api.Position {
	for _, rec := range w.m.Records() {
		if rec.Feed == w.feed(name) && rec.Seq == seq-1 {
			return rec.Position()
		}
	}
	return api.Position{}
}

func (w *world) failure(err error) string {
	if why := api.ReasonOf(err); why != nil {
		return api.KindOf(err).Code() + ": " + w.reason(why)
	}
	return api.KindOf(err).Code() + ": " + w.named(err.Error())
}

func (w *world) reason(r *api.Reason) string {
	s := r.Rule
	for _, k := range []string{"amount", "available", "limit", "short_by", "unacknowledged"} {
		if v := r.Inputs[k]; v != "" {
			s += " " + k + "=" + v
		}
	}
	return s
}

// named puts names for DIDs.
func (w *world) named(s string) string {
	for did, name := range w.names {
		s = strings.ReplaceAll(s, string(did), name)
	}
	return s
}

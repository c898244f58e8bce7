package ledger

import (
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

func TestPaymentLink(t *testing.T) {
	w := newWorld(t, hours(100, 0), "ann", "bob")
	made := do[URIOut](w, "ann", "ledger.uri.make", URIIn{Currency: "hours", Amount: 150, Memo: "30 eggs & + straße", Request: api.Hash{7}}).URI
	got := do[ReadURIOut](w, "bob", "ledger.uri.read", ReadURIIn{URI: made})
	if got.To != w.did("ann") || got.Amount != 150 || got.Memo != "30 eggs & + straße" || got.Request != (api.Hash{7}) || got.Scale != 2 || got.Space != w.space || got.Name != "Testers" {
		t.Errorf("%s: %+v", made, got)
	}
	if open := do[ReadURIOut](w, "bob", "ledger.uri.read", ReadURIIn{URI: do[URIOut](w, "ann", "ledger.uri.make", URIIn{Currency: "hours"}).URI}); open.Amount != 0 {
		t.Errorf("%+v", open)
	}
	good := link{to: w.did("ann"), space: w.space, currency: "hours"}
	with := func(change func(*link)) string { l := good; change(&l); return l.String() }
	sum := func(text string) string { return text + "&c=" + uriSum(text) }
	for name, tc := range map[string]struct{ uri, want string }{
		"changed":    {strings.Replace(made, "amount=150", "amount=950", 1), "checksum"},
		"cut off":    {made[:len(made)-3], "checksum"},
		"none":       {"https://example.org", "begins with icn:pay?"},
		"empty":      {"", "begins with"},
		"space":      {with(func(l *link) { l.space = api.Hash{1} }), "another space"},
		"currency":   {with(func(l *link) { l.currency = "euros" }), "has hours"},
		"to":         {with(func(l *link) { l.to = "bob" }), "to: "},
		"stranger":   {with(func(l *link) { l.to = w.did("eve") }), "not a member"},
		"twice":      {sum(uriScheme + "to=a&to=b"), "twice"},
		"unknown":    {sum(uriScheme + "when=now"), "not known"},
		"amount":     {sum(uriScheme + "amount=-1"), "more than 0"},
		"overflow":   {sum(uriScheme + "amount=9223372036854775808"), "more than 0"},
		"long":       {uriScheme + strings.Repeat("x", 3000), "at most"},
		"bad escape": {sum(uriScheme + "memo=%zz"), "well-formed"},
	} {
		if _, err := w.call("bob", "ledger.uri.read", ReadURIIn{URI: tc.uri}); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// What is read says what was written, and what is written can be read.
func FuzzParseLink(f *testing.F) {
	l := link{to: "did:icn:7ebAX6vHDyfGYbTzBM3pDieYTmuYDUtGG1B3JHsCNRwE", space: api.Hash{1}, currency: "hours", amount: 5, memo: "a b"}
	f.Add(l.String())
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range []string{text, uriScheme + text + "&c=" + uriSum(uriScheme+text)} {
			got, err := parseLink(s)
			if err != nil {
				continue
			}
			if again, err := parseLink(got.String()); err != nil || again != got {
				t.Errorf("%q: %+v, again %+v, %v", s, got, again, err)
			}
		}
	})
}

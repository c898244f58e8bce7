package session

import (
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// What strangers send is read, or is not: nothing counts but what this node has made.
func FuzzTokens(f *testing.F) {
	w := newWorld(f)
	out := w.login(w.bob)
	k, err := w.app.keys()
	if err != nil {
		f.Fatal(err)
	}
	challenge := w.attempt(w.bob).Challenge
	for _, s := range []string{out.AccessToken, out.RefreshToken, challenge, "", "..", "icnr_", strings.Repeat("A", 75), challenge + "\n", out.AccessToken + "="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Base64 has several spellings of one token; what it says must be what this node signed.
		call, err := w.app.Authenticate(t.Context(), s)
		if err == nil && (call.Actor != w.bob.DID() || call.Device != w.bob.Device() || !slices.Equal(call.Scopes, out.Scopes)) {
			t.Errorf("%q is taken for a token: %+v", s, call)
		}
		if tok, ok := parseRefresh(k, s); ok && (s != out.RefreshToken || tok.text(k) != s) {
			t.Errorf("%q is taken for a refresh token", s)
		}
		tk, ok := parseTicket(s)
		if ok && tk.unseal(k, w.app.words(purposeLogin, w.bob.DID(), w.bob.Device(), tk.nonce, tk.expires)) && s != challenge {
			t.Errorf("%q is taken for a challenge", s)
		}
	})
}

func FuzzLink(f *testing.F) {
	w := newWorld(f)
	out, err := do[PairOut](w, nil, "auth.pair", &PairIn{Device: w.bob.Device(), Label: "x"})
	if err != nil {
		f.Fatal(err)
	}
	k, err := w.app.keys()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(out.URI)
	f.Add(linkPrefix)
	f.Add(out.URI[:40])
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLink(s)
		if err != nil {
			if api.KindOf(err) != api.Invalid {
				t.Error(err)
			}
			return
		}
		if l.Text() != strings.TrimSpace(s) {
			t.Errorf("%q and %q are one link", s, l.Text())
		}
		if q, ok := openPairing(k, l.Pairing); ok && string(sealPairing(k, &q)) != string(out.Pairing) {
			t.Errorf("a pairing that was not made here: %x", codec.MustMarshal(&q))
		}
	})
}

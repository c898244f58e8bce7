package session

import (
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// A token that is known to be issued holds no longer than one that is not: its time, its session and its device are looked at each time, and one that was
// changed is another one.
func TestKnownTokens(t *testing.T) {
	for name, end := range map[string]func(w *world, out *TokenOut){
		"its time is over": func(w *world, _ *TokenOut) { w.pass(DefaultTokenTTL) },
		"its session is revoked": func(w *world, out *TokenOut) {
			if _, err := do[RevokeOut](w, w.caller(out.AccessToken), "auth.revoke", &RevokeIn{}); err != nil {
				w.t.Fatal(err)
			}
		},
		"all sessions of the member are revoked": func(w *world, out *TokenOut) {
			if _, err := do[RevokeOut](w, w.caller(out.AccessToken), "auth.revoke", &RevokeIn{All: true}); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			out := w.login(w.bob)
			for range 2 {
				if w.caller(out.AccessToken) == nil {
					t.Fatal("the token does not hold")
				}
			}
			if len(w.app.known.young) != 1 {
				t.Fatal("the token is not remembered")
			}
			last := out.AccessToken[:len(out.AccessToken)-1]
			if w.caller(last) != nil || w.caller(out.AccessToken+"A") != nil || w.caller(strings.Replace(out.AccessToken, ".", ".A", 1)) != nil {
				t.Error("what was changed holds")
			}
			end(w, out)
			if w.caller(out.AccessToken) != nil {
				t.Error("the token holds on")
			}
		})
	}
}

// What a caller does with a call is not remembered with the token.
func TestKnownTokensAreNotShared(t *testing.T) {
	w := newWorld(t)
	out := w.login(w.bob)
	w.caller(out.AccessToken).Scopes[0] = "*"
	if c := w.caller(out.AccessToken); c.Can("node:write") {
		t.Error("one caller's scopes are another's")
	}
}

// However many tokens are shown, so many are remembered; those in use are.
func TestKnownTokensAreBounded(t *testing.T) {
	var k known
	used := api.Hash{0xff}
	k.put(used, &token{})
	for i := range 3 * knownHalf {
		k.put(api.Hash(append(api.Seq8(uint64(i)), make([]byte, 24)...)), &token{})
		if k.get(used) == nil {
			t.Fatalf("after %d others one that is in use is forgotten", i)
		}
	}
	if n := len(k.young) + len(k.old); n > 2*knownHalf {
		t.Errorf("%d tokens", n)
	}
	if k.get(api.Hash(make([]byte, 32))) != nil {
		t.Error("one that nobody has shown for long is remembered")
	}
	w := newWorld(t)
	if w.caller("eyJ.e30.AA") != nil || len(w.app.known.young) != 0 {
		t.Error("what was not issued is remembered")
	}
}

package session

import (
	"fmt"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// The scopes of this app's own operations. They concern no space, so no token binds them to one.
const (
	scopeRead  = "session:read"
	scopeWrite = "session:write"
)

// Bounds of what can be asked for.
const (
	maxScopes = 32
	maxScope  = 64 // bytes
)

// everything is what only this node's own member may be given.
const everything = "*"

// operators are the scopes, or first words of scopes, that are about the node and not about a space: its operator's, whatever app has them. A member who
// fills an office acts by signing records, which the rules of the space judge; no scope that lets the node itself do something is among theirs.
var operators = map[string]bool{
	"node": true, "state": true, "peer": true, "snapshot": true,
	"space:write":     true, // founds spaces on the node
	"security:pardon": true, // changes what the node holds against others
	api.ScopePublic:   true, // everybody has it; nobody is given it
}

// ofKernel are the scopes of the kernel's own operations that are the members'.
var ofKernel = [...]string{"blob:read", "blob:write", "event:read", "record:read", "record:write", "refusal:read", "topic:read"}

// ofGuests are the scopes of who belongs to nothing here yet and has an invitation: they let such a one join by a record that the own key signs.
var ofGuests = []string{"record:write", "space:join"}

// scopes is what members may be given.
type scopes struct {
	all   []string // in order
	usual []string // those that somebody gets who does not say: all but what belongs to offices, which must be asked for
}

// scopesOf derives what members may be given from the operations of apps.
func scopesOf(apps []api.App) scopes {
	var s scopes
	s.all = append(s.all, ofKernel[:]...)
	for _, app := range apps {
		p, ok := app.(api.OperationProvider)
		if !ok {
			continue
		}
		for _, op := range p.Operations() {
			word, _, _ := strings.Cut(op.Scope, ":")
			if !operators[word] && !operators[op.Scope] {
				s.all = append(s.all, op.Scope)
			}
		}
	}
	slices.Sort(s.all)
	s.all = slices.Compact(s.all)
	for _, sc := range s.all {
		if strings.HasSuffix(sc, ":read") || strings.HasSuffix(sc, ":write") || slices.Contains(ofGuests, sc) {
			s.usual = append(s.usual, sc)
		}
	}
	return s
}

// checkScopes is for Validate: whether what is asked for has the form of scopes.
func checkScopes(asked []string) error {
	if len(asked) > maxScopes {
		return fmt.Errorf("scopes: %d of them, want at most %d", len(asked), maxScopes)
	}
	for _, s := range asked {
		word, verb, two := strings.Cut(s, ":")
		if s != everything && (!two || !plain(word) || verb != everything && !plain(verb) || len(s) > maxScope) {
			return fmt.Errorf("scope %q: want <word>:<word>, or <word>:* for all of a word, of a-z 0-9 - and at most %d bytes", clip(s), maxScope)
		}
	}
	return nil
}

func plain(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func clip(s string) string {
	if len(s) > maxScope {
		return s[:maxScope] + "..."
	}
	return s
}

// grant returns what is given to who asks, in order: of members' scopes those asked for, bound to a space unless that is zero. A member gets no more than
// there is; own says that it is this node's member, who may have all. within, if it is not nil, is what the approver holds.
func (s *scopes) grant(op string, asked []string, own bool, space api.Hash, within *api.Call) ([]string, error) {
	var out []string
	if len(asked) == 0 {
		for _, sc := range s.usual {
			if within == nil || holds(within, sc, space) {
				out = append(out, sc)
			}
		}
		asked = nil
	}
	for _, sc := range asked {
		some := false
		for _, have := range s.all {
			if have == sc || strings.HasSuffix(sc, ":"+everything) && strings.HasPrefix(have, strings.TrimSuffix(sc, everything)) {
				out, some = append(out, have), true
			}
		}
		if own && (sc == everything || !some) {
			out, some = append(out, sc), true
		}
		if !some {
			return nil, api.Refusal(op, &api.Reason{
				Domain: Domain, Rule: "scope", Text: "the scope " + clip(sc) + " is not given to members", Inputs: map[string]string{"scope": clip(sc)},
			})
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	for i, sc := range out {
		if within != nil && !holds(within, sc, space) {
			return nil, api.Refusal(op, &api.Reason{
				Domain: Domain, Rule: "scope", Text: "who approves does not hold the scope " + sc, Inputs: map[string]string{"scope": sc},
			})
		}
		if !space.IsZero() && sc != scopeRead && sc != scopeWrite {
			out[i] = sc + "@" + space.String()
		}
	}
	return out, nil
}

// holds reports whether a call has a scope, in a space or everywhere.
func holds(c *api.Call, scope string, space api.Hash) bool {
	if scope == everything {
		return slices.Contains(c.Scopes, everything)
	}
	return c.CanIn(scope, space)
}

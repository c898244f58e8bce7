package gate

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Limit returns the greatest amount that c allows, in minor units, and whether it limits amounts at all.
//
// It is the Ceiling scaled by the Multiplier, exactly: the floor of the product of the integer and the binary fraction that
// the float stands for, so that every platform finds the same number. The Multiplier only ever lowers: above 1 counts as 1, below 0 and
// not-a-number as 0, a Ceiling of 0 or less stays as it is. Without a Ceiling the Multiplier has nothing to scale.
func Limit(c *api.ConstraintSet) (limit int64, limited bool) {
	if c.Ceiling == nil {
		return 0, false
	}
	if c.Multiplier == nil {
		return *c.Ceiling, true
	}
	return scale(*c.Ceiling, *c.Multiplier), true
}

func scale(ceiling int64, by float64) int64 {
	switch {
	case ceiling <= 0 || by >= 1:
		return ceiling
	case !(by > 0): // NaN too
		return 0
	}
	frac, exp := math.Frexp(by) // by = frac * 2^exp, 1/2 <= frac < 1, exp <= 0
	const mantissa = 53
	hi, lo := bits.Mul64(uint64(ceiling), uint64(math.Ldexp(frac, mantissa)))
	shift := uint(mantissa - exp) // at least 53; the product is below 2^116
	if shift >= 64 {
		return int64(hi >> (shift - 64)) // a shift over 63 gives 0
	}
	return int64(hi<<(64-shift) | lo>>shift)
}

// Ceiling objects to an amount, in minor units, above Limit.
func Ceiling(domain api.Domain, amount int64, c *api.ConstraintSet) *api.Reason {
	limit, limited := Limit(c)
	if !limited || amount <= limit {
		return nil
	}
	in := map[string]string{"amount": itoa(amount), "limit": itoa(limit), "ceiling": itoa(*c.Ceiling)}
	if c.Multiplier != nil {
		in["multiplier"] = strconv.FormatFloat(*c.Multiplier, 'g', -1, 64)
	}
	return &api.Reason{
		Domain: domain, Rule: "ceiling", Inputs: in,
		Text:   fmt.Sprintf("amount %d is above the limit of %d", amount, limit),
		Remedy: "use a smaller amount, or ask for a higher limit",
	}
}

// Capability objects when c lists capabilities and required is not among them.
func Capability(domain api.Domain, required string, c *api.ConstraintSet) *api.Reason {
	if c.Capabilities == nil || slices.Contains(c.Capabilities, required) {
		return nil
	}
	return &api.Reason{
		Domain: domain, Rule: "capability-missing",
		Text:   fmt.Sprintf("the capability %q is needed and not granted", clip(required)),
		Inputs: map[string]string{"required": clip(required), "granted": list(c.Capabilities)},
		Remedy: "ask for that capability",
	}
}

// Topic objects when c lists allowed topics and none of its patterns fits the topic name. A pattern is a name, or a prefix
// with a trailing star; "*" alone fits every name.
func Topic(domain api.Domain, name string, c *api.ConstraintSet) *api.Reason {
	if c.AllowedTopics == nil || slices.ContainsFunc(c.AllowedTopics, func(p string) bool { return fits(p, name) }) {
		return nil
	}
	return &api.Reason{
		Domain: domain, Rule: "topic-not-allowed",
		Text:   fmt.Sprintf("the topic %q is not among those allowed", clip(name)),
		Inputs: map[string]string{"topic": clip(name), "allowed": list(c.AllowedTopics)},
		Remedy: "ask for access to that topic",
	}
}

func fits(pattern, name string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, prefix)
	}
	return pattern == name
}

// Topics objects when an actor that has so many topics may have no further one.
func Topics(domain api.Domain, have int, c *api.ConstraintSet) *api.Reason {
	return count(domain, "max-topics", "topics", have, c.MaxTopics)
}

// Connections objects when an actor that has so many connections may have no further one.
func Connections(domain api.Domain, have int, c *api.ConstraintSet) *api.Reason {
	return count(domain, "max-connections", "connections", have, c.MaxConnections)
}

func count(domain api.Domain, rule, what string, have int, most *uint32) *api.Reason {
	if most == nil || int64(have) < int64(*most) {
		return nil
	}
	return &api.Reason{
		Domain: domain, Rule: rule,
		Text:   fmt.Sprintf("%d %s are open and %d are allowed", have, what, *most),
		Inputs: map[string]string{"have": strconv.Itoa(have), "most": strconv.FormatUint(uint64(*most), 10)},
		Remedy: "close one first, or ask for a higher limit",
	}
}

// Token objects when t does not let holder use the capability in the space at the given time. A token with a zero Space fits every
// space, one with a zero Expires every time; it ends at the instant of Expires. Whether t is genuine is not looked at.
func Token(domain api.Domain, t *api.CapabilityToken, holder api.DID, space api.Hash, required string, now time.Time) *api.Reason {
	no := func(rule, text, remedy string, in map[string]string) *api.Reason {
		return &api.Reason{Domain: domain, Rule: rule, Text: text, Inputs: in, Remedy: remedy}
	}
	switch {
	case t.Holder != holder:
		return no("token-holder", "the capability token belongs to somebody else", "show a token of your own",
			map[string]string{"holder": string(t.Holder), "actor": string(holder)})
	case !t.Space.IsZero() && t.Space != space:
		return no("token-space", "the capability token is for another space", "ask for a token for this space",
			map[string]string{"token": t.Space.String(), "space": space.String()})
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return no("token-expired", "the capability token has expired", "ask for a new token",
			map[string]string{"expires": stamp(t.Expires), "now": stamp(now)})
	case !slices.Contains(t.Capabilities, required):
		return no("token-capability", fmt.Sprintf("the capability token does not hold %q", clip(required)), "ask for a token with that capability",
			map[string]string{"required": clip(required), "granted": list(t.Capabilities)})
	}
	return nil
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// maxShown bounds what a Reason quotes of its inputs, in bytes.
const maxShown = 256

func clip(s string) string {
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}

func list(ss []string) string {
	var b strings.Builder
	for i, s := range ss {
		if i > 0 {
			b.WriteByte(' ')
		}
		if b.WriteString(s); b.Len() > maxShown {
			break
		}
	}
	return clip(b.String())
}

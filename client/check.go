package client

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// kindsJSON is how the apps of this build say that their records read. It never comes from the node that asks for a signature.
//
//go:embed kinds.json
var kindsJSON []byte

// knownKinds reads the kinds of this build.
func knownKinds() ([]api.KindSpec, error) {
	var out struct{ Kinds []api.KindSpec }
	if err := json.Unmarshal(kindsJSON, &out); err != nil {
		return nil, api.Errorf("client.kinds", api.Internal, "%w", err)
	}
	return out.Kinds, nil
}

// How far the time of a record may be from this machine's clock. Nodes take none that is dated ahead of theirs: a node that lies about the time, or whose clock
// is wrong, would have the device's feed wait as long.
const (
	mostBehind = 24 * time.Hour
	mostAhead  = time.Hour
)

// checkPlace reads prepared bytes, and refuses them unless they are a record of this device and DID, of now, in the space asked for, at the one place where
// its next record goes. unasked names what of that nobody asked for.
func checkPlace(req *Request, s api.Signer, b *Book, unsigned []byte, now time.Time) (r *api.Record, unasked []string, err error) {
	op := req.Operation
	if r, err = record.Parse(unsigned); err != nil {
		return nil, nil, mismatch(op, "the bytes to sign are no record: %v", err)
	}
	var in struct{ Space api.Hash }
	if err := json.Unmarshal(req.Input, &in); err != nil {
		return nil, nil, api.Errorf(op, api.Invalid, "input: %w", err)
	}
	founds := record.Founds(r)
	at := r.Time.Time()
	switch {
	case r.Version != record.Version:
		return nil, nil, mismatch(op, "a record of version %d, which this build does not know", r.Version)
	case r.Device != s.Device():
		return nil, nil, mismatch(op, "a record of another device")
	case r.Seq == 1 && (r.Author != s.DID() || !bytes.Equal(r.Auth, s.Auth())):
		return nil, nil, mismatch(op, "a record by another key event log")
	case !in.Space.IsZero() && (founds || r.Topic.Space != in.Space):
		return nil, nil, mismatch(op, "a record in the space %s, not in %s", r.Topic.Space, in.Space)
	case at.Sub(now) > mostAhead || now.Sub(at) > mostBehind:
		return nil, nil, mismatch(op, "a record of %s: that is not now, or this machine's clock is wrong", at.UTC().Format(time.RFC3339))
	}
	if in.Space.IsZero() && !b.only(r.Topic.Space) {
		unasked = append(unasked, "space")
	}
	last := b.Feeds[r.Feed]
	switch {
	case last == nil && r.Seq != 1:
		return nil, nil, mismatch(op, "record %d of a feed in which this device has signed nothing", r.Seq)
	case last == nil:
	case r.Seq <= last.Seq:
		// A second signature at one place would be a fork, and hold the feed: everybody could prove that this device signed both.
		return r, nil, api.Errorf(op, api.Conflict, "this node does not know the newest record of this device yet: try again in a moment, or ask the node that has it")
	case last.ID.IsZero() && r.Seq == last.Seq+1 && r.Prev == last.Not: // signed, it would be done twice
		return nil, nil, mismatch(op, "a record that follows the one of which the node said that another one has its place")
	case !last.ID.IsZero() && (r.Seq != last.Seq+1 || r.Prev != last.ID):
		return nil, nil, mismatch(op, "a record that does not follow the one that this device has signed last")
	}
	return r, unasked, nil
}

// checkFields compares what a record says with what was asked for. Fields that contradict it are refused; what nobody asked for, and what was asked for and
// does not stand in the record, is named: a person has to look at it.
func checkFields(req *Request, kinds []api.KindSpec, d *api.Description) (unasked []string, err error) {
	op := req.Operation
	i := slices.IndexFunc(kinds, func(k api.KindSpec) bool { return k.Topic == d.Topic && k.Kind == d.Kind })
	if i < 0 || !d.Known {
		return nil, api.Errorf(op, api.Unsupported, "%s A newer version of this program may know the kind %q of %q.", d.Text, clip(d.Kind), clip(d.Topic))
	}
	dec := json.NewDecoder(bytes.NewReader(req.Input))
	dec.UseNumber()
	var asked map[string]any
	if err := dec.Decode(&asked); err != nil {
		return nil, api.Errorf(op, api.Invalid, "input: %w", err)
	}
	delete(asked, "space")
	for j := range d.Fields {
		f := &d.Fields[j]
		want, given := asked[f.Name]
		delete(asked, f.Name)
		switch {
		case given && want != nil && !same(f, want):
			return nil, mismatch(op, "%s is %q, not %v", f.Name, clip(f.Value), want)
		case (!given || want == nil) && !record.IsEmpty(f) && !isNow(f, d):
			unasked = append(unasked, f.Name)
		}
	}
	var left []string // it stands nowhere in the record
	for name, v := range asked {
		if v != nil && v != "" && v != false && v != json.Number("0") {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	unasked = append(unasked, left...)
	if !makes(op, &kinds[i]) {
		unasked = append([]string{"kind"}, unasked...)
	}
	return unasked, nil
}

// makes reports whether an operation makes records of a kind, by what the app says that has both.
func makes(op string, spec *api.KindSpec) bool {
	return slices.ContainsFunc(spec.Makers, func(m api.Maker) bool { return m.Operation == op })
}

// isNow reports whether a field says when the record was made.
func isNow(f *api.Field, d *api.Description) bool {
	n, err := strconv.ParseInt(f.Value, 10, 64)
	var at time.Time
	switch {
	case err != nil:
		return false
	case f.Type == api.FieldMillis:
		at = time.UnixMilli(n)
	case f.Type == api.FieldSeconds:
		at = time.Unix(n, 0)
	default:
		return false
	}
	return at.Sub(d.Time).Abs() < time.Minute
}

// same reports whether a field has the value of an input, which is as encoding/json reads it, with numbers as json.Number.
func same(f *api.Field, want any) bool {
	if f.List {
		all, ok := want.([]any)
		if !ok || len(all) != len(f.Fields) {
			return false
		}
		for i, w := range all {
			if !same(&f.Fields[i], w) {
				return false
			}
		}
		return true
	}
	switch f.Type {
	case api.FieldTuple:
		return sameTuple(f, want)
	case api.FieldBasis:
		n, ok := want.(json.Number)
		x, err := n.Float64()
		return ok && err == nil && strconv.FormatFloat(math.Round(x*10_000)+0, 'f', 0, 64) == f.Value // + 0: -0 is 0
	case api.FieldBytes:
		text, ok := want.(string)
		raw, err := base64.StdEncoding.DecodeString(text)
		return ok && err == nil && hex.EncodeToString(raw) == f.Value
	case api.FieldMillis, api.FieldSeconds:
		if text, ok := want.(string); ok {
			at, err := time.Parse(time.RFC3339Nano, text)
			n := at.Unix()
			if f.Type == api.FieldMillis {
				n = at.UnixMilli()
			}
			return err == nil && strconv.FormatInt(n, 10) == f.Value
		}
	}
	switch want.(type) {
	case string, json.Number, bool:
		return fmt.Sprint(want) == f.Value
	}
	return false
}

func sameTuple(f *api.Field, want any) bool {
	asked, ok := want.(map[string]any)
	if !ok {
		return false
	}
	left := len(asked)
	for i := range f.Fields {
		x := &f.Fields[i]
		w, given := asked[x.Name]
		if given {
			left--
		}
		if given && w != nil && !same(x, w) || (!given || w == nil) && !record.IsEmpty(x) {
			return false
		}
	}
	return left == 0
}

package app

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
)

// filled lists the writes of which a device elsewhere signs what only the node can know, and has to ask a person for that: by operation, topic and
// kind. A write that is not here can be compared with what was asked for, field by field.
var filled = map[string][]string{
	"feed.cut cuts/draft":           {"adopt.seq", "causes"},
	"ledger.freeze cuts/draft":      {"target.topic", "target.device", "adopt", "next", "causes"},
	"ledger.freeze postings/freeze": {"number"},
	"ledger.freeze ledger/grant": {
		"limit", "p", "by_hand", "policy", "terms",
	},
	"ledger.grant cuts/draft":                   {"target.topic", "target.device", "adopt", "next", "causes"},
	"ledger.grant ledger/grant":                 {"p", "frozen", "by_hand", "policy", "terms"},
	"market.edit market/edit":                   {"new"},
	"market.hide market/hide":                   {"after"},
	"market.post market/post":                   {"lat", "lon", "grid", "expires"},
	"market.unhide market/unhide":               {"after"},
	"ledger.approve ledger/transfer":            {"to", "currency", "amount", "memo", "category", "for"},
	"ledger.batch ledger/batch":                 {"legs", "for"},
	"ledger.dispute.file ledger/dispute":        {"deadline"},
	"ledger.escrow.giveback ledger/escrow-back": {"amount"},
	"ledger.escrow.release ledger/release":      {"amount"},
	"ledger.order.pay ledger/transfer":          {"to", "currency", "amount", "memo", "category", "for"},
	"ledger.request ledger/request":             {"back"},
	"ledger.reverse ledger/transfer":            {"to", "currency", "amount", "category", "for"},
	"ledger.transfer ledger/transfer":           {"for"},
	"ledger.charge postings/charge":             {"number", "period", "legs", "done"},
	"member.device cuts/draft":                  {"target.topic", "target.device", "adopt", "next", "causes"},
	"member.remove cuts/draft":                  {"target.topic", "target.device", "adopt", "next", "causes"},
	"space.join join/join":                      {"key", "signature"},
	"treasury.revise ledger/propose-rules":      {"tiers", "budgets"},
	"ledger.import.file postings/import":        {"file", "source", "part", "moves", "owners"},
	"ledger.import.take ledger/import-take":     {"owes"},
	"ledger.import.undo postings/import-undo":   {"source", "part", "moves", "owners"},
	"ledger.policy.set postings/policy":         {"preset", "start", "base", "max", "ramp", "growth", "per", "trust", "warn", "lower", "groups", "own"},
	"ledger.regrade cuts/draft":                 {"target.topic", "target.device", "adopt", "next", "causes"},
	"ledger.regrade ledger/grant":               {"limit", "p", "frozen", "by_hand", "policy", "terms"},
}

// unshown lists the inputs that stand in no field of the record that the operation has signed, by operation and input, and why that is well.
var unshown = map[string]string{
	"feed.cut by":                   "it chooses what is adopted, which a person sees",
	"ledger.charge dry_run":         "it makes no record",
	"treasury.revise tiers":         "a person sees them",
	"treasury.revise budgets":       "a person sees them",
	"ledger.transfer for":           "a person sees what it makes",
	"ledger.approve id":             "a person sees what it makes",
	"ledger.approve anyway":         "a person sees what it makes",
	"ledger.reverse id":             "a person sees what it makes",
	"ledger.reverse currency":       "a person sees what it makes",
	"ledger.reverse amount":         "a person sees what it makes",
	"ledger.dispute.file deadline":  "a person sees what it makes",
	"ledger.escrow.giveback amount": "a person sees what it makes",
	"ledger.escrow.release amount":  "a person sees what it makes",
	"ledger.order.pay id":           "a person sees what it makes",
	"ledger.order.pay period":       "a person sees what it makes",
	"ledger.batch rows":             "a person sees what it makes",
	"ledger.batch csv":              "a person sees what it makes",
	"ledger.batch name":             "a person sees what it makes",
	"ledger.batch dry_run":          "a person sees what it makes",
	"ledger.request for":            "a person sees what it makes",
	"market.edit title":             "a person sees the ad",
	"market.edit category":          "a person sees the ad",
	"market.edit text":              "a person sees the ad",
	"market.edit amount":            "a person sees the ad",
	"market.edit currency":          "a person sees the ad",
	"market.edit price":             "a person sees the ad",
	"market.edit area":              "a person sees the ad",
	"market.edit at":                "a person sees the ad",
	"market.edit grid":              "a person sees the ad",
	"market.edit days":              "a person sees the ad",
	"market.edit images":            "a person sees the ad",
	"market.edit clear":             "a person sees the ad",
	"market.post at":                "a person sees the ad",
	"market.post grid":              "a person sees the ad",
	"market.post days":              "a person sees the ad",
	"security.pardon local":         "it makes no record",
	"space.join invitation":         "what is made from it a person sees",
	"ledger.import.take owes":       "a person sees what it makes",
	"ledger.import.file mapping":    "a person sees what it makes",
	"ledger.import.file csv":        "a person sees what it makes",
	"ledger.import.file gzip":       "a person sees what it makes",
	"ledger.import.file currency":   "a person sees what it makes",
	"ledger.import.file rest":       "a person sees what it makes",
	"ledger.import.file dry_run":    "it makes no record",
	"ledger.policy.set dry_run":     "it makes no record",
	"ledger.policy.set preset":      "a person sees what it makes",
	"ledger.policy.set start":       "a person sees what it makes",
	"ledger.policy.set base":        "a person sees what it makes",
	"ledger.policy.set max":         "a person sees what it makes",
	"ledger.policy.set ramp":        "a person sees what it makes",
	"ledger.policy.set growth":      "a person sees what it makes",
	"ledger.policy.set per":         "a person sees what it makes",
	"ledger.policy.set trust":       "a person sees what it makes",
	"ledger.policy.set warn":        "a person sees what it makes",
	"ledger.policy.set lower":       "a person sees what it makes",
	"ledger.policy.set groups":      "a person sees what it makes",
	"ledger.policy.set own":         "a person sees what it makes",
}

func signing(t *testing.T) map[string]api.Operation {
	t.Helper()
	ops := map[string]api.Operation{}
	for _, a := range Standard(Options{}) {
		if p, ok := a.(api.OperationProvider); ok {
			for _, op := range p.Operations() {
				if op.Signs != api.SignsNone {
					ops[op.Name] = op
				}
			}
		}
	}
	return ops
}

func inputs(t reflect.Type) map[string]reflect.Type {
	in := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		in[name] = f.Type
	}
	return in
}

// Every operation that has its caller sign says what records, and where each field of them comes from; nothing is said of what there is not.
func TestEverySigningOperationSaysWhatItMakes(t *testing.T) {
	ops := signing(t)
	made := map[string]bool{}
	shown := map[string]map[string]bool{} // by operation, over all kinds that it makes
	gotFilled := map[string][]string{}
	for _, spec := range allKinds(t) {
		for _, m := range spec.Makers {
			op, ok := ops[m.Operation]
			if !ok {
				t.Errorf("%s/%s: there is no operation %s that signs", spec.Topic, spec.Kind, m.Operation)
				continue
			}
			made[op.Name] = true
			if shown[op.Name] == nil {
				shown[op.Name] = map[string]bool{"space": true}
			}
			where := op.Name + " " + spec.Topic + "/" + spec.Kind
			in := inputs(op.In)
			covered := map[string]bool{}
			for _, s := range m.Sources {
				switch {
				case s.From == api.FromTopic:
					if s.Field != "" {
						t.Errorf("%s: a topic is no field, %q", where, s.Field)
					}
				case !has(spec.Fields, s.Field) || covered[s.Field]:
					t.Errorf("%s: %q is no field, or twice", where, s.Field)
				}
				covered[s.Field] = true
				if _, ok := in[s.Input]; !ok && s.Input != "" {
					t.Errorf("%s: %s has no input %q", where, s.Field, s.Input)
				}
				shown[op.Name][s.Input] = true
				switch s.From {
				case api.FromInput, api.FromNot, api.FromTopic, api.FromSet, api.FromRecord:
					if s.Input == "" {
						t.Errorf("%s: %s comes from no input", where, s.Field)
					}
				case api.FromNode:
					gotFilled[where] = append(gotFilled[where], s.Field)
					if s.Why == "" || s.Input != "" {
						t.Errorf("%s: %s is filled in, and nothing says what it is", where, s.Field)
					}
				case api.FromAuthor, api.FromDevice, api.FromAuth, api.FromBefore, api.FromClock, api.FromSerial:
				default:
					t.Errorf("%s: %s comes from %q", where, s.Field, s.From)
				}
			}
			for _, f := range spec.Fields {
				part := func(s api.Source) bool { return s.Field == f.Name || strings.HasPrefix(s.Field, f.Name+".") }
				if slices.ContainsFunc(m.Sources, part) {
					continue
				}
				if _, ok := in[f.Name]; !ok {
					t.Errorf("%s: nothing says where %s comes from", where, f.Name)
				}
				shown[op.Name][f.Name] = true
			}
		}
	}
	for name, op := range ops {
		if !made[name] {
			t.Errorf("%s signs, and nothing says what", name)
		}
		for input := range inputs(op.In) {
			if why, known := unshown[name+" "+input]; shown[name][input] == known {
				t.Errorf("%s: input %s is shown %v, listed as not shown %v (%s)", name, input, shown[name][input], known, why)
			}
		}
	}
	for _, where := range slices.Sorted(maps.Keys(gotFilled)) {
		got, want := slices.Sorted(slices.Values(gotFilled[where])), slices.Sorted(slices.Values(filled[where]))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the node fills in %q, listed are %q", where, got, want)
		}
	}
	for where := range filled {
		if gotFilled[where] == nil {
			t.Errorf("%s is listed, and fills in nothing", where)
		}
	}
}

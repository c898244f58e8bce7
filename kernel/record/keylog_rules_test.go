package record_test

import (
	"bytes"
	"crypto/ed25519"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// The wire forms, to make what this package would not.
type logParts struct {
	_      struct{} `cbor:",toarray"`
	Tag    string
	Device []byte
	Events []signedPart
}

type signedPart struct {
	_         struct{} `cbor:",toarray"`
	Event     []byte
	Signature []byte
	Approvals []approvalPart
}

type approvalPart struct {
	_         struct{} `cbor:",toarray"`
	Salt      []byte
	Auth      []byte
	Signature []byte
}

type eventParts struct {
	_         struct{} `cbor:",toarray"`
	Tag       string
	Version   uint16
	Root      []byte
	Seq       uint64
	Prev      []byte
	Kind      uint8
	Key       []byte
	Hybrid    []byte
	Next      []byte
	Add       []devicePart
	Remove    [][]byte
	Guardians guardiansPart
	Homes     [][]byte
}

type devicePart struct {
	_    struct{} `cbor:",toarray"`
	Key  []byte
	Role uint8
}

type guardiansPart struct {
	_           struct{} `cbor:",toarray"`
	Threshold   uint8
	Delay       uint16
	Commitments [][]byte
}

func raw(t fataler, l *record.Log) *logParts {
	t.Helper()
	p := new(logParts)
	if err := codec.Unmarshal(l.Bytes(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Every rule of an event, broken alone and signed well, is a refusal.
func TestEventRules(t *testing.T) {
	h := func(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }
	l := must(story(false).Prefix(3))
	for name, tc := range map[string]struct {
		at     int
		by     string // whose key signs
		change func(*eventParts)
		want   string
	}{
		"tag":                       {0, "control ann 0", func(e *eventParts) { e.Tag = "icn-record" }, "tag"},
		"version":                   {0, "control ann 0", func(e *eventParts) { e.Version = 3 }, "version 3"},
		"seq of the inception":      {0, "control ann 0", func(e *eventParts) { e.Seq, e.Prev = 1, h(1) }, "seq 0"},
		"prev of the inception":     {0, "control ann 0", func(e *eventParts) { e.Prev = h(1) }, "prev of 32"},
		"kind of the inception":     {0, "control ann 0", func(e *eventParts) { e.Kind = 1 }, "inception of seq 0"},
		"unknown kind":              {1, "control ann 0", func(e *eventParts) { e.Kind = 4 }, "kind 4"},
		"no root":                   {0, "control ann 0", func(e *eventParts) { e.Root = nil }, "keys of 0"},
		"another's root":            {0, "control ann 0", func(e *eventParts) { e.Root = public32(keyOf("x")) }, "root key"},
		"a small key":               {0, "control ann 0", func(e *eventParts) { e.Key, e.Root = torsion.Bytes(), torsion.Bytes() }, "small or mixed order"},
		"no device":                 {0, "control ann 0", func(e *eventParts) { e.Add = nil }, "certifies a device"},
		"a root as device":          {0, "control ann 0", func(e *eventParts) { e.Add[0].Key = e.Root }, "one purpose"},
		"a small device":            {0, "control ann 0", func(e *eventParts) { e.Add[0].Key = torsion.Bytes() }, "small or mixed order"},
		"role":                      {0, "control ann 0", func(e *eventParts) { e.Add[0].Role = 3 }, "role of 1 or 2"},
		"zero next":                 {0, "control ann 0", func(e *eventParts) { e.Next = h(0) }, "next of 32"},
		"rubbish for a hybrid key":  {0, "control ann 0", func(e *eventParts) { e.Hybrid = h(1) }, "level"},
		"another's hybrid key":      {0, "control ann 0", func(e *eventParts) { e.Hybrid = controlOf("x", 0, true).Public().Hybrid }, "another key's"},
		"two inceptions":            {1, "control ann 0", func(e *eventParts) { e.Kind = 0; e.Key = e.Root; e.Next = h(1) }, "only the first"},
		"seq":                       {1, "control ann 0", func(e *eventParts) { e.Seq = 2 }, "seq 2"},
		"seq at the end":            {1, "control ann 0", func(e *eventParts) { e.Seq = math.MaxUint64 }, "seq 18446744073709551615"},
		"prev":                      {1, "control ann 0", func(e *eventParts) { e.Prev = h(1) }, "prev is not"},
		"event of another":          {1, "control ann 0", func(e *eventParts) { e.Root = public32(keyOf("x")) }, "in a log of"},
		"devices by another key":    {1, "x", func(e *eventParts) { e.Key = public32(keyOf("x")) }, "key in charge"},
		"devices and next":          {1, "control ann 0", func(e *eventParts) { e.Next = h(1) }, "nothing else"},
		"devices and homes":         {1, "control ann 0", func(e *eventParts) { e.Homes = [][]byte{h(1)} }, "nothing else"},
		"devices and guardians":     {1, "control ann 0", func(e *eventParts) { e.Guardians = guardiansPart{Threshold: 1, Commitments: [][]byte{h(1)}} }, "nothing else"},
		"no change of devices":      {1, "control ann 0", func(e *eventParts) { e.Add = nil }, "changes none"},
		"two primaries":             {1, "control ann 0", func(e *eventParts) { e.Add[0].Role = 1 }, "2 primary"},
		"devices out of order":      {1, "control ann 0", func(e *eventParts) { e.Add[0], e.Add[1] = e.Add[1], e.Add[0] }, "ascending"},
		"a device twice":            {1, "control ann 0", func(e *eventParts) { e.Add[1] = e.Add[0] }, "ascending"},
		"a device again":            {1, "control ann 0", func(e *eventParts) { k := deviceOf("ann", 0); e.Add = []devicePart{{Key: k[:], Role: 1}} }, "there already"},
		"removed, never there":      {1, "control ann 0", func(e *eventParts) { e.Remove = [][]byte{h(1)} }, "not there"},
		"33 devices":                {1, "control ann 0", func(e *eventParts) { e.Add = slices.Repeat(e.Add[:1], 33) }, "at most 32"},
		"rotation to the wrong key": {2, "x", func(e *eventParts) { e.Key = public32(keyOf("x")) }, "commits to"},
		"added and removed":         {2, "control ann 1", func(e *eventParts) { e.Add = append(e.Add[:0:0], devicePart{Key: e.Remove[0], Role: 2}) }, "cannot come back"},
		"0 of 3 guardians":          {2, "control ann 1", func(e *eventParts) { e.Guardians.Threshold = 0 }, "0 of 3"},
		"4 of 3 guardians":          {2, "control ann 1", func(e *eventParts) { e.Guardians.Threshold = 4 }, "4 of 3"},
		"a delay of years":          {2, "control ann 1", func(e *eventParts) { e.Guardians.Delay = record.MaxDelay + 1 }, "delay"},
		"a delay of nobody":         {2, "control ann 1", func(e *eventParts) { e.Guardians = guardiansPart{Delay: 1} }, "0 of 0"},
		"17 guardians":              {2, "control ann 1", func(e *eventParts) { e.Guardians.Commitments = slices.Repeat(e.Guardians.Commitments[:1], 17) }, "17 guardians"},
		"guardians out of order":    {2, "control ann 1", func(e *eventParts) { slices.Reverse(e.Guardians.Commitments) }, "ascending"},
		"a short guardian":          {2, "control ann 1", func(e *eventParts) { e.Guardians.Commitments[0] = h(1)[:31] }, "31 bytes"},
		"homes out of order":        {2, "control ann 1", func(e *eventParts) { slices.Reverse(e.Homes) }, "ascending"},
		"9 homes":                   {2, "control ann 1", func(e *eventParts) { e.Homes = slices.Repeat(e.Homes[:1], 9) }, "at most 8"},
	} {
		p := raw(t, must(l.Prefix(tc.at+1)))
		var e eventParts
		if err := codec.Unmarshal(p.Events[tc.at].Event, &e); err != nil {
			t.Fatal(err)
		}
		tc.change(&e)
		p.Events[tc.at].Event = codec.MustMarshal(&e)
		p.Events[tc.at].Signature = ed25519.Sign(keyOf(tc.by), p.Events[tc.at].Event)
		if _, err := record.ParseLog(codec.MustMarshal(p)); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	for name, tc := range map[string]struct {
		change func(*logParts)
		want   string
	}{
		"other tag":      {func(p *logParts) { p.Tag = "icn-record" }, "tag"},
		"no events":      {func(p *logParts) { p.Events = nil }, "0 events"},
		"65 events":      {func(p *logParts) { p.Events = slices.Repeat(p.Events[:1], 65) }, "65 events"},
		"short device":   {func(p *logParts) { p.Device = h(1)[:31] }, "device of 31"},
		"no signature":   {func(p *logParts) { p.Events[2].Signature = nil }, "does not fit"},
		"approvals":      {func(p *logParts) { p.Events[2].Approvals = make([]approvalPart, 1) }, "approvals of a rotation"},
		"event left out": {func(p *logParts) { p.Events = []signedPart{p.Events[0], p.Events[2]} }, "seq 2"},
		"begin missing":  {func(p *logParts) { p.Events = p.Events[1:] }, "inception"},
	} {
		p := raw(t, l)
		tc.change(p)
		if _, err := record.ParseLog(codec.MustMarshal(p)); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	if _, err := record.ParseAuth(make([]byte, record.MaxAuth+1)); api.KindOf(err) != api.Invalid {
		t.Errorf("%v", err)
	}
}

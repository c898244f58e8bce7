package record_test

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

type logVector struct {
	Name    string      `json:"name"`
	Why     string      `json:"why,omitempty"`
	Outcome string      `json:"outcome"`
	Auth    text        `json:"auth"`
	Log     *decodedLog `json:"log,omitempty"` // when the outcome is ok
}

// decodedLog is what a reader must find in an Auth.
type decodedLog struct {
	DID     api.DID        `json:"did"`
	Device  api.Key        `json:"device"`
	Role    string         `json:"role"`
	Events  []decodedEvent `json:"events"`
	Key     api.Key        `json:"key"` // in charge at the end
	Devices []string       `json:"devices"`
	Removed []api.Key      `json:"removed"`
}

type decodedEvent struct {
	ID   api.Hash `json:"id"`
	Kind string   `json:"kind"`
	Key  api.Key  `json:"key"`
	Next api.Hash `json:"next"`
}

func judgeLog(b []byte) (string, *decodedLog) {
	a, err := record.ParseAuth(b)
	switch {
	case err == nil:
	case errors.Is(err, codec.ErrNotCanonical), within(err, "key.check"):
		return outcome(err), nil
	case strings.HasSuffix(err.Error(), "does not fit"):
		return badSignature, nil
	default:
		return malformed, nil
	}
	d := &decodedLog{DID: a.DID, Device: a.Device, Role: a.Role.String(), Key: a.Log.Control().Key, Removed: append([]api.Key{}, a.Log.Removed()...)}
	for _, e := range a.Log.Events() {
		d.Events = append(d.Events, decodedEvent{ID: e.ID, Kind: e.Kind.String(), Key: e.Control.Key, Next: e.Next})
	}
	for _, v := range a.Log.Devices() {
		d.Devices = append(d.Devices, v.Role.String()+" "+v.Key.String())
	}
	return ok, d
}

func makeLogs() (out []logVector) {
	add := func(name, why, want string, auth []byte) {
		v := logVector{Name: name, Why: why, Outcome: want, Auth: auth}
		if want == ok {
			_, v.Log = judgeLog(auth)
		}
		out = append(out, v)
	}
	l := story(false)
	auth := func(n, device int) []byte { return must(must(l.Prefix(n)).Auth(deviceOf("ann", device))) }
	add("version-1", "a single event", ok, ann.auth)
	add("inception", "", ok, auth(1, 0))
	add("two-devices-more", "", ok, auth(2, 2))
	add("rotation", "the key that was committed to; guardians and homes", ok, auth(3, 1))
	add("recovery", "two of three guardians", ok, auth(4, 3))
	add("hybrid-inception", "Ed25519 and ML-DSA-65", ok, must(incept("ann", true).Auth(deviceOf("ann", 0))))

	change := func(n, device int, f func(*logParts)) []byte {
		var p logParts
		if err := codec.Unmarshal(auth(n, device), &p); err != nil {
			panic(err)
		}
		f(&p)
		return codec.MustMarshal(&p)
	}
	event := func(n int, by string, f func(*eventParts)) []byte {
		return change(n, 1, func(p *logParts) {
			var e eventParts
			if err := codec.Unmarshal(p.Events[n-1].Event, &e); err != nil {
				panic(err)
			}
			f(&e)
			b := codec.MustMarshal(&e)
			p.Events[n-1].Event, p.Events[n-1].Signature = b, ed25519.Sign(keyOf(by), b)
		})
	}
	add("device-not-in-the-log", "", malformed, change(2, 1, func(p *logParts) { k := deviceOf("ann", 9); p.Device = k[:] }))
	add("removed-device", "", malformed, change(4, 3, func(p *logParts) { k := deviceOf("ann", 1); p.Device = k[:] }))
	add("no-device", "a log that stands for itself is no Auth", malformed, l.Bytes())
	add("event-left-out", "", malformed, change(3, 1, func(p *logParts) { p.Events = slices.Delete(p.Events, 1, 2) }))
	add("rotation-by-the-stolen-key", "signed by the key that was in charge, not by the one it committed to", malformed,
		event(3, "control ann 0", func(e *eventParts) { e.Key = public32(keyOf("control ann 0")) }))
	add("rotation-to-the-thiefs-key", "", malformed, event(3, "thief", func(e *eventParts) { e.Key = public32(keyOf("thief")) }))
	add("committed-key-shown-old-key-signs", "", badSignature, event(3, "control ann 0", func(*eventParts) {}))
	add("guardians-by-the-key-in-charge", "a change of devices changes nothing else", malformed,
		event(2, "control ann 0", func(e *eventParts) {
			e.Guardians = guardiansPart{Threshold: 1, Commitments: [][]byte{make([]byte, 32)}}
		}))
	add("two-primaries", "", malformed, event(2, "control ann 0", func(e *eventParts) { e.Add[0].Role = 1 }))
	add("device-of-small-order", "", badKey, event(2, "control ann 0", func(e *eventParts) { e.Add = []devicePart{{Key: torsion.Bytes(), Role: 2}} }))
	add("one-approval-of-two", "", malformed, change(4, 3, func(p *logParts) { p.Events[3].Approvals = p.Events[3].Approvals[:1] }))
	add("approvals-out-of-order", "", malformed, change(4, 3, func(p *logParts) { slices.Reverse(p.Events[3].Approvals) }))
	add("approval-damaged", "", badSignature, change(4, 3, func(p *logParts) { p.Events[3].Approvals[1].Signature[3] ^= 1 }))
	add("hybrid-signature-without-its-half", "", badSignature, func() []byte {
		var p logParts
		if err := codec.Unmarshal(must(incept("ann", true).Auth(deviceOf("ann", 0))), &p); err != nil {
			panic(err)
		}
		p.Events[0].Signature = ed25519.Sign(keyOf("control ann 0"), p.Events[0].Event)
		return codec.MustMarshal(&p)
	}())
	long := auth(1, 0)
	add("long-form", "a length in more bytes than it needs", nonCanon, slices.Concat(long[:1], []byte{0x78}, []byte{long[1] - 0x60}, long[2:]))
	return out
}

func TestVectorsLogs(t *testing.T) {
	seen := map[string]int{}
	for _, v := range golden(t, "keylogs.json", makeLogs()) {
		got, d := judgeLog(v.Auth)
		if seen[v.Outcome]++; got != v.Outcome {
			_, err := record.ParseAuth(v.Auth)
			t.Errorf("%s: %s (%v), want %s", v.Name, got, err, v.Outcome)
		}
		a, _ := json.Marshal(d)
		if b, _ := json.Marshal(v.Log); string(a) != string(b) {
			t.Errorf("%s: decoded\n%s\nwant\n%s", v.Name, a, b)
		}
	}
	for _, o := range []string{ok, malformed, nonCanon, badKey, badSignature} {
		if seen[o] == 0 {
			t.Errorf("no vector for %s", o)
		}
	}
}

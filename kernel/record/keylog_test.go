package record_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// controlOf is the nth key in charge of a DID in these tests.
func controlOf(who string, n int, hybrid bool) record.ControlKey {
	k, err := record.NewControlKey(keyOf(fmt.Sprint("control ", who, " ", n)), hybrid)
	if err != nil {
		panic(err)
	}
	return k
}

func deviceOf(who string, n int) api.Key { return public(keyOf(fmt.Sprint("device ", who, " ", n))) }

func commitTo(k record.ControlKey) record.Terms {
	return record.Terms{Next: k.Public().Commitment()}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func primary(k api.Key) record.Device   { return record.Device{Key: k, Role: record.Primary} }
func secondary(k api.Key) record.Device { return record.Device{Key: k, Role: record.Secondary} }

func incept(who string, hybrid bool) *record.Log {
	return must(record.Incept(controlOf(who, 0, hybrid), commitTo(controlOf(who, 1, hybrid)), primary(deviceOf(who, 0))))
}

// guards are the salts and the commitments of people, k of whom are needed.
func guards(k int, who ...*person) (record.Guardians, []record.Salt) {
	g := record.Guardians{Threshold: uint8(k), Delay: 72}
	var salts []record.Salt
	for i, p := range who {
		salts = append(salts, record.Salt{byte(i + 1)})
		g.Commitments = append(g.Commitments, record.GuardianCommitment(salts[i], p.DID()))
	}
	return g, salts
}

// story is a log with an event of each kind: inception, two devices, rotation with guardians, recovery.
func story(hybrid bool) *record.Log {
	g, salts := guards(2, newPerson("gil"), newPerson("hal"), newPerson("ida"))
	l := incept("ann", hybrid)
	l = must(l.ChangeDevices(controlOf("ann", 0, hybrid), []record.Device{secondary(deviceOf("ann", 1)), secondary(deviceOf("ann", 2))}, nil))
	t := commitTo(controlOf("ann", 2, hybrid))
	t.Guardians, t.Homes = g, []api.Hash{{9}, {3}}
	l = must(l.Rotate(controlOf("ann", 1, hybrid), t, []record.Device{primary(deviceOf("ann", 1)), secondary(deviceOf("ann", 0))}, []api.Key{deviceOf("ann", 2)}))
	r := must(l.RequestRecovery(controlOf("ann", 7, false), commitTo(controlOf("ann", 8, hybrid)), []record.Device{primary(deviceOf("ann", 3))}, []api.Key{deviceOf("ann", 0), deviceOf("ann", 1)}))
	r = must(record.ParseRecovery(r.Bytes()))
	return must(r.Complete(must(r.Approve(salts[2], newPerson("ida"))), must(r.Approve(salts[0], newPerson("gil")))))
}

func TestLogTellsItsStory(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		l := must(record.ParseLog(story(hybrid).Bytes()))
		if l.DID() != record.DIDOf(controlOf("ann", 0, hybrid).Public().Key) || len(l.Events()) != 4 {
			t.Fatalf("%s, %d events", l.DID(), len(l.Events()))
		}
		for i, want := range []struct {
			kind    record.EventKind
			devices []record.Device
			removed int
		}{
			{record.Inception, []record.Device{primary(deviceOf("ann", 0))}, 0},
			{record.DeviceChange, []record.Device{primary(deviceOf("ann", 0)), secondary(deviceOf("ann", 1)), secondary(deviceOf("ann", 2))}, 0},
			{record.Rotation, []record.Device{secondary(deviceOf("ann", 0)), primary(deviceOf("ann", 1))}, 1},
			{record.Recovery, []record.Device{primary(deviceOf("ann", 3))}, 3},
		} {
			slices.SortFunc(want.devices, func(a, b record.Device) int { return bytes.Compare(a.Key[:], b.Key[:]) })
			p := must(l.Prefix(i + 1))
			if h := p.Head(); h.Kind != want.kind || h.Seq != uint64(i) || !slices.Equal(p.Devices(), want.devices) || len(p.Removed()) != want.removed {
				t.Errorf("hybrid %t, event %d: %+v, devices %v, removed %v", hybrid, i, h, p.Devices(), p.Removed())
			}
		}
		p := must(l.Prefix(3))
		if g := p.Terms().Guardians; g.Threshold != 2 || g.Delay != 72 || len(g.Commitments) != 3 || p.Control().Key != controlOf("ann", 1, hybrid).Public().Key {
			t.Errorf("%+v", p.Terms())
		}
		if _, err := l.Prefix(5); err == nil {
			t.Error("a prefix longer than the log")
		}
	}
}

func TestAuth(t *testing.T) {
	l := story(false)
	d := deviceOf("ann", 3)
	a, err := record.ParseAuth(must(l.Auth(d)))
	if err != nil || a.DID != l.DID() || a.Device != d || a.Role != record.Primary {
		t.Fatalf("%+v, %v", a, err)
	}
	if r, n := record.Compare(a.Log, l); r != record.Same || n != 4 {
		t.Errorf("%s, %d", r, n)
	}
	for _, gone := range []api.Key{deviceOf("ann", 0), deviceOf("ann", 9)} {
		if _, err := l.Auth(gone); api.KindOf(err) != api.NotFound {
			t.Errorf("%v", err)
		}
	}
	if _, err := record.ParseAuth(l.Bytes()); api.KindOf(err) != api.Invalid {
		t.Errorf("a log that names no device: %v", err)
	}

	// Version 1 stays what it was, byte for byte.
	a, err = record.ParseAuth(ann.auth)
	if err != nil || a.DID != ann.DID() || a.Device != ann.Device() || a.Role != record.Primary || a.Log.Head().Version != 1 || !a.Log.Terms().Next.IsZero() {
		t.Fatalf("%+v, %v", a, err)
	}
	if b := must(a.Log.Auth(ann.Device())); !bytes.Equal(b, ann.auth) {
		t.Errorf("%x", b)
	}
	// It may be followed by changes of devices, and by nothing else: it commits to no next key.
	root := must(record.NewControlKey(ann.root, false))
	more := must(must(record.ParseLog(a.Log.Bytes())).ChangeDevices(root, []record.Device{secondary(deviceOf("ann", 1))}, nil))
	if a, err = record.ParseAuth(must(more.Auth(deviceOf("ann", 1)))); err != nil || a.Role != record.Secondary || a.DID != ann.DID() {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := more.Rotate(controlOf("ann", 1, false), record.Terms{}, nil, nil); err == nil || !strings.Contains(err.Error(), "no next key") {
		t.Errorf("%v", err)
	}
}

func TestRecordOfALog(t *testing.T) {
	l := story(true)
	p := &person{device: keyOf("device ann 3"), auth: must(l.Auth(deviceOf("ann", 3)))}
	r := first()
	r.Auth = p.auth
	e := must(record.Sign(r, p))
	for name, decode := range map[string]func([]byte) (*record.Envelope, error){"Decode": record.Decode, "DecodeVerified": record.DecodeVerified} {
		if got, err := decode(e.Raw); err != nil || got.Author != l.DID() {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := first()
	bad.Auth = flip(p.auth, len(p.auth)-10)
	e = must(record.Sign(bad, p))
	if _, err := record.Decode(e.Raw); api.KindOf(err) != api.Invalid {
		t.Errorf("a forged log is decoded: %v", err)
	}
	if got, err := record.DecodeVerified(e.Raw); err != nil || got.Author != l.DID() {
		t.Errorf("DecodeVerified looks at signatures: %v", err)
	}
}

func flip(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 1
	return b
}

// No byte of an Auth can be another one.
func TestEveryByteOfAnAuthCounts(t *testing.T) {
	auth := must(story(false).Auth(deviceOf("ann", 3)))
	step := 1
	if testing.Short() {
		step = 17
	}
	for i := 0; i < len(auth); i += step {
		if a, err := record.ParseAuth(flip(auth, i)); err == nil {
			t.Fatalf("byte %d of %d: %+v", i, len(auth), a)
		}
	}
	auth = must(story(true).Auth(deviceOf("ann", 3)))
	for i := 0; i < len(auth); i += 211 {
		if a, err := record.ParseAuth(flip(auth, i)); err == nil {
			t.Fatalf("hybrid: byte %d of %d: %+v", i, len(auth), a)
		}
	}
}

// A thief of the key in charge, who lacks the next one, cannot rotate: not first and not later.
func TestStolenKeyCannotRotate(t *testing.T) {
	l := incept("ann", false)
	stolen, own := controlOf("ann", 0, false), controlOf("ann", 1, false)
	thiefs := controlOf("thief", 0, false)
	for name, k := range map[string]record.ControlKey{"the stolen key itself": stolen, "a key of the thief": thiefs} {
		if _, err := l.Rotate(k, commitTo(thiefs), []record.Device{secondary(deviceOf("thief", 0))}, nil); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The committed key, shown, does not help who cannot sign for it.
	e := raw(t, must(l.Rotate(own, commitTo(thiefs), nil, nil)))
	e.Events[1].Signature = ed25519.Sign(keyOf("control ann 0"), e.Events[1].Event)
	if _, err := record.ParseLog(codec.MustMarshal(e)); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("%v", err)
	}
	// What the thief can do, the owner's rotation goes before.
	theirs := must(l.ChangeDevices(stolen, []record.Device{secondary(deviceOf("thief", 0))}, nil))
	theirs = must(theirs.ChangeDevices(stolen, nil, []api.Key{deviceOf("ann", 0)}))
	mine := must(l.Rotate(own, commitTo(controlOf("ann", 2, false)), nil, nil))
	if r, n := record.Compare(mine, theirs); r != record.Forked || n != 1 {
		t.Errorf("%s, %d", r, n)
	}
	if !record.Outranks(mine, theirs) || record.Outranks(theirs, mine) {
		t.Error("the thief's branch goes first")
	}
	// The old key is out.
	if _, err := mine.ChangeDevices(stolen, []record.Device{secondary(deviceOf("thief", 0))}, nil); api.KindOf(err) != api.Refused {
		t.Errorf("%v", err)
	}
}

func TestCompare(t *testing.T) {
	l := story(false)
	two := must(l.Prefix(2))
	other := must(two.Rotate(controlOf("ann", 1, false), record.Terms{}, nil, nil))
	for name, tc := range map[string]struct {
		a, b   *record.Log
		want   record.Relation
		common int
	}{
		"same":      {l, story(false), record.Same, 4},
		"ahead":     {l, two, record.Ahead, 2},
		"behind":    {two, l, record.Behind, 2},
		"forked":    {l, other, record.Forked, 2},
		"unrelated": {l, incept("ben", false), record.Unrelated, 0},
	} {
		if r, n := record.Compare(tc.a, tc.b); r != tc.want || n != tc.common {
			t.Errorf("%s: %s, %d", name, r, n)
		}
		if record.Outranks(tc.a, tc.b) || record.Outranks(tc.b, tc.a) {
			t.Errorf("%s: one outranks the other", name)
		}
	}
}

func TestRecoveryNeedsItsGuardians(t *testing.T) {
	gil, hal, ida, eve := newPerson("gil"), newPerson("hal"), newPerson("ida"), newPerson("eve")
	g, salts := guards(2, gil, hal, ida)
	tm := commitTo(controlOf("ann", 1, false))
	tm.Guardians = g
	l := must(record.Incept(controlOf("ann", 0, false), tm, primary(deviceOf("ann", 0))))
	request := func(n int) *record.RecoveryRequest {
		return must(l.RequestRecovery(controlOf("ann", n, false), commitTo(controlOf("ann", n+1, false)), []record.Device{secondary(deviceOf("ann", 5))}, nil))
	}
	r := request(5)
	for name, try := range map[string]func() ([]byte, error){
		"a stranger":        func() ([]byte, error) { return r.Approve(salts[0], eve) },
		"another's salt":    func() ([]byte, error) { return r.Approve(salts[0], hal) },
		"the owner's root":  func() ([]byte, error) { return r.Approve(salts[0], ann) },
		"no salt, guardian": func() ([]byte, error) { return r.Approve(record.Salt{}, gil) },
	} {
		if _, err := try(); api.KindOf(err) != api.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	byGil, byHal, byIda := must(r.Approve(salts[0], gil)), must(r.Approve(salts[1], hal)), must(r.Approve(salts[2], ida))
	elsewhere := must(request(6).Approve(salts[1], hal))
	for name, tc := range map[string]struct {
		approvals [][]byte
		kind      api.Kind
	}{
		"none":             {nil, api.Refused},
		"one":              {[][]byte{byGil}, api.Refused},
		"one twice":        {[][]byte{byGil, byGil}, api.Refused},
		"of another event": {[][]byte{byGil, elsewhere}, api.Invalid},
		"damaged":          {[][]byte{byGil, flip(byHal, len(byHal)-3)}, api.Invalid},
		"rubbish":          {[][]byte{byGil, []byte("rubbish")}, api.Invalid},
		"too many":         {slices.Repeat([][]byte{byGil}, record.MaxGuardians+1), api.TooLarge},
		"two":              {[][]byte{byHal, byGil}, api.Other},
		"all":              {[][]byte{byIda, byHal, byGil}, api.Other},
	} {
		out, err := r.Complete(tc.approvals...)
		if api.KindOf(err) != tc.kind || (err == nil) != (tc.kind == api.Other) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && (out.Control().Key != controlOf("ann", 5, false).Public().Key || out.Head().Kind != record.Recovery) {
			t.Errorf("%s: %+v", name, out.Head())
		}
	}
	// By hand: too few, too many, out of order, one guardian twice.
	good := raw(t, must(r.Complete(byGil, byHal)))
	third := raw(t, must(r.Complete(byIda, byGil))).Events[1].Approvals
	as := good.Events[1].Approvals
	for name, list := range map[string][]approvalPart{
		"none": nil, "one": as[:1], "three": append(slices.Clone(as), third[0]), "turned": {as[1], as[0]}, "twice": {as[0], as[0]},
	} {
		e := *good
		e.Events = slices.Clone(good.Events)
		e.Events[1].Approvals = list
		if _, err := record.ParseLog(codec.MustMarshal(&e)); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := incept("ann", false).RequestRecovery(controlOf("ann", 5, false), record.Terms{}, nil, nil); err == nil {
		t.Error("recovery without guardians")
	}
	if _, err := record.ParseRecovery(flip(r.Bytes(), len(r.Bytes())-1)); err == nil {
		t.Error("a request whose signature does not fit")
	}
	if got := r.Devices(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// Two commitments may stand for one DID; it counts once.
func TestOneGuardianCountsOnce(t *testing.T) {
	gil := newPerson("gil")
	g, salts := guards(2, gil, gil)
	l := must(record.Incept(controlOf("ann", 0, false), record.Terms{Guardians: g}, primary(deviceOf("ann", 0))))
	r := must(l.RequestRecovery(controlOf("ann", 5, false), record.Terms{}, nil, nil))
	if _, err := r.Complete(must(r.Approve(salts[0], gil)), must(r.Approve(salts[1], gil))); api.KindOf(err) != api.Refused {
		t.Errorf("%v", err)
	}
}

// A chain of recoveries is bounded: whoever guards may have been recovered, their guardians not.
func TestGuardiansOfGuardians(t *testing.T) {
	last := newPerson("gil")
	for n := range 3 {
		who := fmt.Sprint("nested ", n)
		g, salts := guards(1, last)
		l := must(record.Incept(controlOf(who, 0, false), record.Terms{Guardians: g}, primary(deviceOf(who, 0))))
		r := must(l.RequestRecovery(controlOf(who, 1, false), record.Terms{}, nil, nil))
		out, err := r.Complete(must(r.Approve(salts[0], last)))
		if (err == nil) != (n < 2) {
			t.Fatalf("%d deep: %v", n+1, err)
		}
		if err != nil {
			return
		}
		last = &person{root: keyOf("control " + who + " 0"), device: keyOf("device " + who + " 0"), auth: must(out.Auth(deviceOf(who, 0)))}
	}
}

// A log of a DID that asks for both signatures does not verify by one of them.
func TestHybridNeedsBothHalves(t *testing.T) {
	l := incept("ann", true)
	p := raw(t, l)
	sig := p.Events[0].Signature
	for name, bad := range map[string][]byte{
		"Ed25519 alone": ed25519.Sign(keyOf("control ann 0"), p.Events[0].Event), "Ed25519 half": flip(sig, 20), "ML-DSA half": flip(sig, 2000),
	} {
		p.Events[0].Signature = bad
		if _, err := record.ParseLog(codec.MustMarshal(p)); err == nil {
			t.Errorf("%s verifies", name)
		}
	}
	// The commitment is to both halves: the next key without its ML-DSA half is another key.
	if _, err := l.Rotate(controlOf("ann", 1, false), record.Terms{}, nil, nil); err == nil {
		t.Error("rotated out of the hybrid key that was committed to")
	}
	if _, err := l.Rotate(controlOf("ann", 1, true), record.Terms{}, nil, nil); err != nil {
		t.Error(err)
	}
}

func TestLogIsBounded(t *testing.T) {
	l := incept("ann", false)
	k := controlOf("ann", 0, false)
	for i := 1; i < record.MaxEvents; i++ {
		d := deviceOf("ann", i)
		var err error
		if i > 20 {
			l, err = l.ChangeDevices(k, []record.Device{secondary(d)}, []api.Key{deviceOf("ann", i-20)})
		} else {
			l, err = l.ChangeDevices(k, []record.Device{secondary(d)}, nil)
		}
		if err != nil {
			t.Fatal(i, err)
		}
	}
	if b := must(l.Auth(deviceOf("ann", 0))); len(b) > record.MaxAuth {
		t.Errorf("%d bytes", len(b))
	}
	if _, err := l.ChangeDevices(k, []record.Device{secondary(deviceOf("ann", 99))}, nil); err == nil {
		t.Error("event 65")
	}
	h := incept("ann", true)
	for n := 1; ; n++ {
		next, err := h.Rotate(controlOf("ann", n, true), commitTo(controlOf("ann", n+1, true)), nil, nil)
		if err != nil {
			if api.KindOf(err) != api.TooLarge || n < 8 {
				t.Errorf("rotation %d: %v", n, err)
			}
			break
		}
		h = next
	}
}

// Any way through the rules gives a log that every reader takes, whose prefixes verify too, and of which every altered byte is refused.
func TestLogProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, salts := guards(1, newPerson("gil"))
		l, inCharge, next, device := incept("ann", false), 0, 1, 1
		for range rapid.IntRange(0, 6).Draw(t, "events") {
			add := []record.Device{secondary(deviceOf("ann", device))}
			device++
			var remove []api.Key
			if ds := l.Devices(); len(ds) > 1 && rapid.Bool().Draw(t, "remove") {
				remove = []api.Key{rapid.SampledFrom(ds).Draw(t, "which").Key}
			}
			terms := commitTo(controlOf("ann", next+1, false))
			terms.Guardians = g
			var err error
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				l, err = l.ChangeDevices(controlOf("ann", inCharge, false), add, remove)
			case 1:
				if l, err = l.Rotate(controlOf("ann", next, false), terms, add, remove); err == nil {
					inCharge, next = next, next+1
				}
			case 2:
				if l.Terms().Guardians.Threshold == 0 {
					continue
				}
				k := next + 100
				terms.Next = controlOf("ann", k+1, false).Public().Commitment()
				r := must(l.RequestRecovery(controlOf("ann", k, false), terms, add, remove))
				l, err = r.Complete(must(r.Approve(salts[0], newPerson("gil"))))
				inCharge, next = k, k+1
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b := l.Bytes()
		back := must(record.ParseLog(b))
		if !bytes.Equal(back.Bytes(), b) || !slices.Equal(back.Devices(), l.Devices()) || !slices.Equal(back.Removed(), l.Removed()) {
			t.Fatal("read otherwise than written")
		}
		n := rapid.IntRange(1, len(l.Events())).Draw(t, "prefix")
		p := must(record.ParseLog(must(l.Prefix(n)).Bytes()))
		if r, common := record.Compare(l, p); common != n || r != record.Ahead && n < len(l.Events()) {
			t.Fatalf("%s, %d", r, common)
		}
		if again := must(l.Prefix(n)); !slices.Equal(again.Devices(), p.Devices()) || again.Control().Key != p.Control().Key {
			t.Fatal("a prefix and its reading differ")
		}
		i := rapid.IntRange(0, len(b)-1).Draw(t, "byte")
		if _, err := record.ParseLog(flip(b, i)); err == nil {
			t.Fatalf("byte %d of %d does not count", i, len(b))
		}
	})
}

func TestNamesOfKindsAndRoles(t *testing.T) {
	for got, want := range map[string]string{
		record.Inception.String(): "inception", record.DeviceChange.String(): "devices", record.Rotation.String(): "rotation", record.Recovery.String(): "recovery",
		record.EventKind(9).String(): "kind(9)", record.Role(9).String(): "role(9)", record.Relation(9).String(): "forked", record.Ahead.String(): "ahead",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, r := range []record.Role{record.Primary, record.Secondary} {
		if got, err := record.ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%s: %v", r, err)
		}
	}
	if _, err := record.ParseRole("owner"); api.KindOf(err) != api.Invalid {
		t.Error(err)
	}
}

// What reading a stored first record costs with and without its Auth's signatures.
func BenchmarkDecodeFirst(b *testing.B) {
	l := story(false)
	p := &person{device: keyOf("device ann 3"), auth: must(l.Auth(deviceOf("ann", 3)))}
	long := first()
	long.Auth = p.auth
	for _, bb := range []struct {
		name string
		raw  []byte
	}{{"event", sign(b, first()).Raw}, {"log-of-4", must(record.Sign(long, p)).Raw}} {
		for name, decode := range map[string]func([]byte) (*record.Envelope, error){"Decode": record.Decode, "DecodeVerified": record.DecodeVerified} {
			b.Run(bb.name+"/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := decode(bb.raw); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

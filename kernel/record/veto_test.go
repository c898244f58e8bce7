package record_test

import (
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// A veto is the word of the key that was in charge before the recovery, for that one recovery.
func TestVeto(t *testing.T) {
	for _, hybrid := range []bool{false, true} {
		gil := newPerson("gil")
		g, salts := guards(1, gil)
		terms := commitTo(controlOf("ann", 1, hybrid))
		terms.Guardians = g
		l := must(record.Incept(controlOf("ann", 0, hybrid), terms, primary(deviceOf("ann", 0))))
		recovered := func(n int) *record.Log {
			r := must(l.RequestRecovery(controlOf("ann", n, hybrid), record.Terms{}, nil, nil))
			return must(r.Complete(must(r.Approve(salts[0], gil))))
		}
		longer, other := recovered(5), recovered(6)
		event := longer.Head().ID
		veto := must(l.Veto(controlOf("ann", 0, hybrid), event))
		if err := longer.CheckVeto(event, veto); err != nil {
			t.Error(err)
		}
		if _, err := l.Veto(controlOf("ann", 1, hybrid), event); api.KindOf(err) != api.Refused {
			t.Errorf("by the next key: %v", err)
		}
		if err := longer.CheckVeto(event, must(longer.Veto(controlOf("ann", 5, hybrid), event))); api.KindOf(err) != api.Invalid {
			t.Errorf("by the key that the recovery puts in charge: %v", err)
		}
		if err := other.CheckVeto(other.Head().ID, veto); api.KindOf(err) != api.Invalid {
			t.Errorf("of another recovery: %v", err)
		}
		if err := other.CheckVeto(event, veto); api.KindOf(err) != api.NotFound {
			t.Errorf("of a recovery that the log does not have: %v", err)
		}
		if err := longer.CheckVeto(event, flip(veto, 7)); api.KindOf(err) != api.Invalid {
			t.Errorf("damaged: %v", err)
		}
	}
}

// What a thief of the key in charge can write is no part of a settled log.
func TestSettledIgnoresDeviceChanges(t *testing.T) {
	l := must(record.Incept(controlOf("ann", 0, false), commitTo(controlOf("ann", 1, false)), primary(deviceOf("ann", 0))))
	if l.Settled() != nil {
		t.Error("an inception settles")
	}
	l = must(l.ChangeDevices(controlOf("ann", 0, false), []record.Device{secondary(deviceOf("ann", 1))}, nil))
	if l.Settled() != nil {
		t.Error("a change of devices settles")
	}
	rotated := must(l.Rotate(controlOf("ann", 1, false), commitTo(controlOf("ann", 2, false)), nil, nil))
	after := must(rotated.ChangeDevices(controlOf("ann", 1, false), []record.Device{secondary(deviceOf("ann", 0)), primary(deviceOf("ann", 2))}, nil))
	s := after.Settled()
	if r, _ := record.Compare(s, rotated); r != record.Same || s.Primary() != deviceOf("ann", 0) || after.Primary() != deviceOf("ann", 2) {
		t.Errorf("%s, primary %s", r, s.Primary())
	}
}

package gate_test

import (
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gate"
)

// disk keeps rows as a store would.
type disk map[string][]byte

func (d disk) write(rows []gate.Row) {
	for _, r := range rows {
		if r.Value == nil {
			delete(d, r.Name)
		} else {
			d[r.Name] = r.Value
		}
	}
}

func (d disk) rows() (rows []gate.Row) {
	for name, v := range d { // in any order
		rows = append(rows, gate.Row{Name: name, Value: v})
	}
	return rows
}

func TestR2_ReplaySurvivesACrash(t *testing.T) {
	d := disk{}
	j := gate.NewJournal(gate.ReplayOptions{MaxAge: time.Minute})
	const n = 3000 // more than one row
	for i := range uint64(n) {
		if o := j.Check("d", epoch, []api.DID{ann, ben}[i%2], nonce(i), ms(0)+int64(i%7)); o != nil {
			t.Fatal(o)
		}
	}
	d.write(j.Rows())
	if again := j.Rows(); again != nil {
		t.Errorf("%d rows for nothing", len(again))
	}
	if o := j.Check("d", epoch, ann, nonce(n), ms(0)); o != nil { // not on disk: it was not acted on
		t.Fatal(o)
	}

	back := gate.NewJournal(gate.ReplayOptions{MaxAge: time.Minute})
	if err := back.Load(d.rows()); err != nil {
		t.Fatal(err)
	}
	if back.Len() != n {
		t.Errorf("%d nonces, want %d", back.Len(), n)
	}
	now := epoch.Add(time.Second)
	for i := range uint64(n) {
		if got := rule(t, back.Check("d", now, []api.DID{ann, ben}[i%2], nonce(i), ms(0)+int64(i%7))); got != "replayed" {
			t.Fatalf("message %d after the crash: %q", i, got)
		}
	}
	if o := back.Check("d", now, ann, nonce(n), ms(0)); o != nil {
		t.Errorf("a message that was not acted on: %v", o)
	}
	d.write(back.Rows())

	// What has expired leaves the disk.
	now = epoch.Add(time.Hour)
	if o := back.Check("d", now, ann, nonce(1), ms(time.Hour)); o != nil {
		t.Fatal(o)
	}
	d.write(back.Rows())
	if len(d) != 1 {
		t.Errorf("%d rows are kept", len(d))
	}
}

func TestJournalRefusesBadRows(t *testing.T) {
	j := gate.NewJournal(gate.ReplayOptions{})
	j.Check("d", epoch, ann, nonce(1), ms(0))
	good := j.Rows()[0]
	for name, row := range map[string]gate.Row{
		"name":       {Name: "1", Value: good.Value},
		"upper case": {Name: "000000000000000A", Value: good.Value},
		"value":      {Name: good.Name, Value: good.Value[1:]},
		"no value":   {Name: good.Name},
	} {
		if err := gate.NewJournal(gate.ReplayOptions{}).Load([]gate.Row{row}); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No message passes twice, over crashes that keep only what was written, in overload and when the clock jumps; and the disk stays small.
func TestJournalNeverTakesAMessageTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opt := gate.ReplayOptions{MaxAge: time.Second, MaxAhead: time.Second, Entries: 5, PerSender: 4}
		j, d := gate.NewJournal(opt), disk{}
		type message struct {
			who  api.DID
			n    uint64
			sent int64
		}
		acted, passed := map[message]bool{}, map[message]bool{} // passed and not written yet
		now := ms(0)
		for range rapid.IntRange(1, 200).Draw(t, "messages") {
			now += rapid.Int64Range(-200, 300).Draw(t, "pass")
			switch rapid.IntRange(0, 9).Draw(t, "event") {
			case 0: // a crash: what was not written was not acted on
				clear(passed)
				j = gate.NewJournal(opt)
				if err := j.Load(d.rows()); err != nil {
					t.Fatal(err)
				}
			case 1, 2, 3:
				d.write(j.Rows())
				maps.Copy(acted, passed)
				clear(passed)
				if len(d) > 6 { // one for each nonce, and one for the floor
					t.Fatalf("%d rows", len(d))
				}
			}
			m := message{
				rapid.SampledFrom([]api.DID{"a", "b", "c"}).Draw(t, "who"),
				rapid.Uint64Range(0, 10).Draw(t, "nonce"), ms(0) + 100*rapid.Int64Range(-3, 30).Draw(t, "sent"),
			}
			if j.Check("d", time.UnixMilli(now), m.who, nonce(m.n), m.sent) == nil {
				if acted[m] || passed[m] {
					t.Fatalf("%+v passed twice", m)
				}
				passed[m] = true
			}
		}
	})
}

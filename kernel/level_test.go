package kernel_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
)

// writeUntil writes a note and waits for a level, for so long.
func (s *speaker) writeUntil(t *testing.T, wait api.Wait, within time.Duration) (api.Receipt, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return s.app.host.Append(ctx, s.id.Signer(), api.Draft{Topic: api.Topic{Space: s.space, Name: "notes"}, Kind: "note", Body: []byte("note")}, wait)
}

func members(ss ...*speaker) []api.DID {
	var ds []api.DID
	for _, s := range ss {
		ds = append(ds, s.id.DID())
	}
	slices.Sort(ds)
	return ds
}

// A write that waits for copies is answered once as many other members' nodes hold it, and one that waits in vain says what it has got, and stands.
func TestReplicated(t *testing.T) {
	a := newSpeaker(t, nil).found(t)
	b, c := newSpeaker(t, nil), newSpeaker(t, nil)
	b.join(t, a)
	c.join(t, a)

	rc, err := a.writeUntil(t, api.WaitReplicated(2), 20*time.Second)
	if err != nil || rc.Level != api.WaitReplicated(2) || !slices.Equal(rc.Holders, members(b, c)) {
		t.Fatalf("%+v, %v", rc, err)
	}
	for _, s := range []*speaker{b, c} {
		if r := s.must(t, "record.explain", fmt.Sprintf(`{"id":%q}`, rc.Position.ID)).(*kernel.ExplainOut); !r.Accepted {
			t.Errorf("%s does not have it", s.id.DID())
		}
	}

	// One is cut off: the answer waits.
	c.must(t, "peer.cut", "{}")
	eventually(t, "c to be gone", func() bool { return a.must(t, "node.status", "").(*kernel.Status).Peers == 1 })
	rc, err = a.writeUntil(t, api.WaitReplicated(2), 700*time.Millisecond)
	why := api.ReasonOf(err)
	if api.KindOf(err) != api.Timeout || why == nil || why.Rule != "level-not-reached" || why.Inputs["wanted"] != "replicated(2)" || why.Inputs["reached"] != "replicated(1)" ||
		why.Inputs["holders"] != string(b.id.DID()) || !strings.Contains(why.Inputs["missing"], "1 more") {
		t.Fatalf("%v: %+v", err, why)
	}
	if r := api.ReceiptOf(err); r == nil || r.Position != rc.Position || r.Position.IsZero() || r.Level != api.WaitReplicated(1) {
		t.Fatalf("%+v, want the receipt of what stands", r)
	}
	late := rc.Position

	// Mended while a writer waits: then it is reached, and for what was written before, too.
	done := make(chan error, 1)
	go func() {
		_, err := a.writeUntil(t, api.WaitReplicated(2), 20*time.Second)
		done <- err
	}()
	c.must(t, "peer.mend", "{}")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if level, who := a.app.host.(api.LevelHost).Level(late); level != api.WaitReplicated(2) || !slices.Equal(who, members(b, c)) {
		t.Errorf("%s by %v", level, who)
	}
	if out := a.must(t, "record.explain", fmt.Sprintf(`{"id":%q}`, late.ID)).(*kernel.ExplainOut); out.Level != api.WaitReplicated(2) || len(out.Holders) != 2 {
		t.Errorf("explained as %s by %v", out.Level, out.Holders)
	}

	// Nobody else is there to hold a third copy.
	if rc, err := a.writeUntil(t, api.WaitReplicated(3), 300*time.Millisecond); api.KindOf(err) != api.Timeout || rc.Position.IsZero() {
		t.Errorf("%+v, %v", rc, err)
	}
	// What nobody waited for is asked about a little later.
	rc, err = a.writeUntil(t, "", time.Second)
	if err != nil || rc.Level != api.WaitLocal {
		t.Fatalf("%+v, %v", rc, err)
	}
	eventually(t, "the copies to be known", func() bool {
		_, who := a.app.host.(api.LevelHost).Level(rc.Position)
		return len(who) == 2
	})
}

package node_test

import (
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// These tests run real daemons and speak to them as any client does. What two scripts of cmd/icnd and cmd/icnctl already show (a second daemon,
// a wrong passphrase, one stop and one start) is not repeated.

// submitter pays without a pause and keeps, outside the node, what was acknowledged.
type submitter struct {
	mu    sync.Mutex
	acked []api.Hash
	open  map[string]bool // idempotency keys whose call has not been answered
}

func (s *submitter) run(c *client.Client, in client.LedgerTransferIn, prefix string, t *testing.T) {
	for i := 0; ; i++ {
		key := fmt.Sprintf("%s-%d", prefix, i)
		s.mu.Lock()
		s.open[key] = true
		s.mu.Unlock()
		out, err := c.LedgerTransfer(t.Context(), in, client.Idempotency(key))
		if err != nil {
			if kind := api.KindOf(err); kind != api.Unavailable && kind != api.Timeout {
				t.Errorf("%s: %v", key, err)
			}
			return
		}
		s.mu.Lock()
		s.acked = append(s.acked, out.Receipt.Position.ID)
		delete(s.open, key)
		s.mu.Unlock()
	}
}

// R11: what was acknowledged survives kill -9 at any moment, and a call whose answer was lost can be repeated without being done twice.
func TestR11_KillNineUnderLoad(t *testing.T) {
	t.Parallel()
	const rounds, workers = 5, 4
	n := startProcess(t, "ann")
	space := found(t, n, 1_000_000_000, false)
	friend := identity.Derive("e2e", "friend")
	if _, err := n.rpc.MemberAdd(t.Context(), client.MemberAddIn{DID: friend.DID(), Device: friend.Device()}); err != nil {
		t.Fatal(err)
	}
	in := client.LedgerTransferIn{Space: space, To: friend.DID(), Currency: "hours", Amount: 1}
	s := &submitter{open: map[string]bool{}}
	for round := range rounds {
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() { s.run(n.rpc, in, fmt.Sprintf("r%d-w%d", round, w), t) })
		}
		before := s.count()
		until(t, func() error { // some load before the random moment, however slow the machine
			if s.count() < before+20 {
				return fmt.Errorf("%d acknowledged", s.count()-before)
			}
			return nil
		})
		time.Sleep(time.Duration(rand.Int64N(int64(300 * time.Millisecond))))
		n.kill()
		wg.Wait()
		n.start()
		for key := range s.open {
			out, err := n.rpc.LedgerTransfer(t.Context(), in, client.Idempotency(key))
			if err != nil {
				t.Fatalf("round %d, %s again: %v", round, key, err)
			}
			s.acked = append(s.acked, out.Receipt.Position.ID)
			delete(s.open, key)
		}
		seen := map[api.Hash]bool{}
		for _, id := range s.acked {
			r, err := n.rpc.RecordExplain(t.Context(), client.RecordExplainIn{ID: id})
			if err != nil || !r.Accepted {
				t.Fatalf("round %d: acknowledged record %s: %+v %v", round, id, r, err)
			}
			if seen[id] {
				t.Fatalf("round %d: two calls were answered with record %s", round, id)
			}
			seen[id] = true
		}
		if got := balance(t, n, n); got != -int64(len(s.acked)) {
			t.Fatalf("round %d: %d acknowledged, but the balance is %d", round, len(s.acked), got)
		}
		sound(t, n)
	}
	t.Logf("%d acknowledgements over %d kills", len(s.acked), rounds)
}

func (s *submitter) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

// A node under load ends on SIGTERM with exit code 0, and what it acknowledged is there afterwards.
func TestTermUnderLoad(t *testing.T) {
	t.Parallel()
	n := startProcess(t, "ann")
	space := found(t, n, 1_000_000_000, false)
	friend := identity.Derive("e2e", "friend")
	if _, err := n.rpc.MemberAdd(t.Context(), client.MemberAddIn{DID: friend.DID(), Device: friend.Device()}); err != nil {
		t.Fatal(err)
	}
	s := &submitter{open: map[string]bool{}}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			s.run(n.rpc, client.LedgerTransferIn{Space: space, To: friend.DID(), Currency: "hours", Amount: 1}, strconv.Itoa(w), t)
		})
	}
	until(t, func() error {
		if s.count() < 20 {
			return fmt.Errorf("%d acknowledged", s.count())
		}
		return nil
	})
	if code := n.term(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	wg.Wait()
	n.start()
	for _, id := range s.acked {
		if _, err := n.rpc.RecordExplain(t.Context(), client.RecordExplainIn{ID: id}); err != nil {
			t.Errorf("acknowledged record %s: %v", id, err)
		}
	}
	sound(t, n)
}

// R2: a node that was killed comes back without being told where the others are, and goes on receiving and paying.
func TestR2_RestartedNodeRejoins(t *testing.T) {
	t.Parallel()
	ann, ben := startProcess(t, "ann"), startProcess(t, "ben")
	found(t, ann, 10_000, false)
	join(t, ann, ben)
	if err := pay(t, ann, ben, 100); err != nil {
		t.Fatal(err)
	}
	agree(t, ann, ben)
	for i := range 2 { // the one that joined, then the one that was joined
		p, other := ben, ann
		if i == 1 {
			p, other = ann, ben
		}
		p.kill()
		if err := pay(t, other, p, 50); err != nil {
			t.Fatal(err)
		}
		p.start()
		agree(t, ann, ben)
		if err := pay(t, other, p, 25); err != nil {
			t.Fatal(err)
		}
		if err := pay(t, p, other, 10); err != nil {
			t.Fatal(err)
		}
		agree(t, ann, ben)
	}
	if got := balance(t, ben, ann); got != -100 {
		t.Errorf("ann has %d, want -100", got)
	}
	sound(t, ann, ben)
}

// R15 and scenario 17: who comes late, with nothing, has the same state as those who were there from the beginning.
func TestR15_LateJoiner(t *testing.T) {
	t.Parallel()
	ann, ben := startProcess(t, "ann"), startProcess(t, "ben")
	found(t, ann, 100_000, false)
	join(t, ann, ben)
	for range 50 {
		if err := pay(t, ann, ben, 7); err != nil {
			t.Fatal(err)
		}
		if err := pay(t, ben, ann, 3); err != nil {
			t.Fatal(err)
		}
	}
	agree(t, ann, ben)
	cleo := startProcess(t, "cleo")
	join(t, ann, cleo)
	agree(t, ann, ben, cleo)
	if got := balance(t, cleo, ben); got != 200 {
		t.Errorf("by cleo's node ben has %d, want 200", got)
	}
	sound(t, cleo)

	// Once more with no other than Ben to learn from.
	ann.kill()
	if err := pay(t, ben, cleo, 5); err != nil {
		t.Fatal(err)
	}
	agree(t, ben, cleo)
	ann.start()
	agree(t, ann, ben, cleo)
}

// R6: both sides of a cut spend what they may, and afterwards agree on books that sum to zero with nobody below the limit.
func TestR6_BothSidesSpend(t *testing.T) {
	t.Parallel()
	const limit = 1000
	ann, ben, cleo := startProcess(t, "ann"), startProcess(t, "ben"), startProcess(t, "cleo")
	all := []*process{ann, ben, cleo}
	found(t, ann, limit, false)
	join(t, ann, ben, cleo)
	agree(t, all...)
	if err := pay(t, ann, cleo, 400); err != nil {
		t.Fatal(err)
	}
	agree(t, all...)

	if err := cleo.rpc.PeerCut(t.Context(), client.PeerCutIn{}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []struct{ from, to *process }{{ann, ben}, {ben, cleo}, {cleo, ann}} { // until the node refuses
		var spent int
		for range 100 {
			err := pay(t, p.from, p.to, 150)
			if api.KindOf(err) == api.Refused {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			spent++
		}
		if spent == 0 || spent == 100 {
			t.Fatalf("%s could pay %d times", p.from.name, spent)
		}
	}
	if balance(t, ann, cleo) == balance(t, cleo, cleo) {
		t.Fatal("the cut does not cut")
	}
	if err := cleo.rpc.PeerMend(t.Context(), client.PeerMendIn{}); err != nil {
		t.Fatal(err)
	}
	agree(t, all...)
	sound(t, all...)
	for _, on := range all {
		sum := int64(0)
		for _, of := range all {
			b := balance(t, on, of)
			if sum += b; b < -limit {
				t.Errorf("by %s's node %s has %d, below -%d", on.name, of.name, b, limit)
			}
		}
		if sum != 0 {
			t.Errorf("by %s's node all have %d together", on.name, sum)
		}
		if v, err := on.rpc.LedgerVoid(t.Context(), client.LedgerVoidIn{}); err != nil || len(v.Entries) != 0 {
			t.Errorf("by %s's node: void %+v %v", on.name, v, err)
		}
	}
}

// R3: a node hears its own announcements in the local network; it neither dials nor bans itself. Two of them find each other where the network
// carries multicast, and then hold one session.
func TestR3_MDNSIsNotMe(t *testing.T) {
	t.Parallel()
	nodes := []*process{startProcess(t, "ann", "--mdns"), startProcess(t, "ben", "--mdns")}
	ids := make([]api.DID, len(nodes))
	for i, n := range nodes {
		s, err := n.rpc.NodeStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = s.Node
	}
	met := false
	for range 30 { // three seconds: announcements are answered within one
		for i, n := range nodes {
			out, err := n.rpc.PeerList(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range out.Peers {
				if p.Node == ids[i] {
					t.Fatalf("%s lists itself: %+v", n.name, p)
				}
				if p.State == "banned" {
					t.Fatalf("%s banned somebody: %+v", n.name, p)
				}
				met = met || p.Node == ids[1-i]
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("the two found each other: %t", met)
	for i, n := range nodes {
		n.kill() // the log is complete
		for line := range strings.Lines(n.log.String()) {
			if strings.Contains(line, "peer="+string(ids[i])) {
				t.Errorf("%s speaks to itself: %s", n.name, line)
			}
		}
	}
}

// An import is records like any other: it reaches who joins later, needs its file no more, and survives a rebuild.
func TestTrustImportReachesAll(t *testing.T) {
	t.Parallel()
	const rows = 300
	ann := startProcess(t, "ann")
	found(t, ann, 10_000, true)
	path := filepath.Join(t.TempDir(), "ratings.csv")
	writeRatings(t, path, rows)
	importRatings(t, ann, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	ben, cleo := startProcess(t, "ben"), startProcess(t, "cleo")
	join(t, ann, ben, cleo)
	all := []*process{ann, ben, cleo}
	digest := agree(t, all...)
	for _, p := range all {
		g, err := p.rpc.TrustGraph(t.Context(), client.TrustGraphIn{})
		if err != nil || g.Records != rows {
			t.Errorf("%s: %+v %v", p.name, g, err)
		}
		if out, err := p.rpc.StateRebuild(t.Context()); err != nil || !out.OK || out.Digest != digest {
			t.Errorf("%s: rebuilt to %+v %v, want %s", p.name, out, err, digest)
		}
	}
	if again := agree(t, all...); again != digest {
		t.Errorf("after the rebuild %s, before %s", again, digest)
	}
	sound(t, all...)
}

// writeRatings writes ratings of which no two have the same source and target.
func writeRatings(t *testing.T, path string, rows int) {
	t.Helper()
	var b strings.Builder
	for i := range rows {
		source := i % 20
		fmt.Fprintf(&b, "%d,%d,%d,%d\n", source, 100+i/20, 1+i%10, 1289241911+i)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func importRatings(t *testing.T, p *process, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	in := client.TrustImportIn{Seed: "e2e"}
	for _, r := range records {
		rating, _ := strconv.Atoi(r[2])
		at, _ := strconv.ParseInt(r[3], 10, 64)
		in.Rows = append(in.Rows, client.TrustRow{Source: r[0], Target: r[1], Rating: rating, Time: at})
	}
	out, err := p.rpc.TrustImport(t.Context(), in)
	if err != nil || out.Accepted != len(records) {
		t.Fatalf("%+v %v", out, err)
	}
}

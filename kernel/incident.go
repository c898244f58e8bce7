package kernel

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/obs"
)

// Bounds of the reporter. What is over them is counted and not reported.
const (
	maxOpenIncidents = 1024                   // kinds and peers, and forks, between two reports
	maxKnownForks    = 4096                   // forked feeds remembered as reported; then all are forgotten, and some are reported again
	coalesce         = 250 * time.Millisecond // how long incidents of one kind and peer are gathered
	maxDetail        = 200                    // bytes
	// settleFor is how long answers to questions of before are forgiven after gossip starts anew: it has forgotten what it asked.
	settleFor = time.Minute
)

// incidents gathers what goes wrong and tells the observers. Noting never blocks and may be done from anywhere; observers are called by one
// goroutine, Serve's, or in an inline kernel by flush. It has no opinion: it counts, and names the peer that the session's handshake proved.
type incidents struct {
	k         *Kernel
	observers []api.IncidentObserver
	noted     obs.Vec[obs.Counter]
	dropped   obs.Counter
	kick      chan struct{}

	mu      sync.Mutex
	open    map[incidentKey]*api.Incident
	forks   map[api.Hash]uint64 // feed -> lowest forked seq reported
	settled time.Time           // until then, what is forgiven after a restart of gossip is
}

type incidentKey struct {
	kind string
	node api.DID
	feed api.Hash
}

func newIncidents(k *Kernel) *incidents {
	in := &incidents{
		k: k, kick: make(chan struct{}, 1), open: map[incidentKey]*api.Incident{}, forks: map[api.Hash]uint64{},
		noted:   k.opt.Metrics.CounterVec("icn_incidents_total", "What peers did wrong, by kind; no opinion.", "kind"),
		dropped: k.opt.Metrics.Counter("icn_incidents_dropped_total", "Incidents counted and not reported: too many at once."),
	}
	for _, app := range k.opt.Apps {
		if o, ok := app.(api.IncidentObserver); ok {
			in.observers = append(in.observers, o)
		}
	}
	return in
}

// settle says that gossip has started anew: for a while late answers are nobody's fault.
func (in *incidents) settle(now time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.settled = now.Add(settleFor)
}

// note counts n incidents of a peer and reports whether there is something new to say about it: the first since the last report. This node is
// never its own culprit.
func (in *incidents) note(kind string, node api.DID, n int, detail string) (first bool) {
	if node == "" || n <= 0 || node == in.k.nodeDID() {
		return false
	}
	in.noted.With(kind).Add(float64(n))
	now := in.k.opt.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if kind == api.Unasked && now.Before(in.settled) {
		return false
	}
	return in.addLocked(now, api.Incident{Kind: kind, Node: node, Count: uint64(n), Detail: clipText(detail)})
}

// report takes an incident that an app has seen.
func (in *incidents) report(i api.Incident) {
	i.Count, i.Detail = max(i.Count, 1), clipText(i.Detail)
	in.noted.With(i.Kind).Add(float64(i.Count))
	in.mu.Lock()
	defer in.mu.Unlock()
	in.addLocked(in.k.opt.Now(), i)
}

func (in *incidents) addLocked(now time.Time, i api.Incident) (first bool) {
	if len(in.observers) == 0 {
		return true
	}
	k := incidentKey{i.Kind, i.Node, i.Feed}
	if have := in.open[k]; have != nil {
		have.Count += i.Count
		return false
	}
	if len(in.open) >= maxOpenIncidents {
		in.dropped.Inc()
		return false
	}
	i.At = now
	in.open[k] = &i
	select {
	case in.kick <- struct{}{}:
	default:
	}
	return true
}

// committed looks for feeds that these commits have shown to be forked. Who brought the record has done no wrong.
func (in *incidents) committed(events []ingest.Event) {
	for i := range events {
		e := &events[i]
		if e.Head.Fork == 0 {
			continue
		}
		now := in.k.opt.Now()
		in.mu.Lock()
		if at, ok := in.forks[e.Head.Feed]; !ok || e.Head.Fork < at {
			if len(in.forks) >= maxKnownForks {
				clear(in.forks)
			}
			in.forks[e.Head.Feed] = e.Head.Fork
			in.noted.With(api.ForkEvidence).Inc()
			in.addLocked(now, api.Incident{
				Kind: api.ForkEvidence, Author: e.Record.Author, Feed: e.Head.Feed, Seq: e.Head.Fork, Count: 1, Proven: true,
				Detail: "two records at one place of a feed in topic " + e.Record.Topic.Name,
			})
		}
		in.mu.Unlock()
	}
}

// conflicting says that two branches of feeds are final. Whose fault that is, among those who state, is not judged here.
func (in *incidents) conflicting(rivals []fold.Rival) {
	for _, r := range rivals {
		in.report(api.Incident{
			Kind: api.Conflicting, Author: r.Author, Feed: r.Rival.Feed, Seq: r.Rival.Seq,
			Detail: fmt.Sprintf("in topic %s both are stated final by enough: record %d %s and record %d %s", r.Topic.Name, r.Final.Seq, r.Final.ID.Short(), r.Rival.Seq, r.Rival.ID.Short()),
		})
	}
}

func (in *incidents) String() string { return "incidents" }

// Serve implements suture.Service.
func (in *incidents) Serve(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-in.kick:
		}
		pause := time.NewTimer(coalesce)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		in.flush(in.k.opt.Now())
	}
}

// flush tells the observers what has gathered, oldest first.
func (in *incidents) flush(now time.Time) {
	in.mu.Lock()
	open := in.open
	if len(open) > 0 {
		in.open = map[incidentKey]*api.Incident{}
	}
	in.mu.Unlock()
	all := make([]*api.Incident, 0, len(open))
	for _, i := range open {
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b *api.Incident) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Feed.String(), b.Feed.String()))
	})
	for _, i := range all {
		i.Over = max(now.Sub(i.At), 0)
		if i.Kind == api.ForkEvidence {
			i.Evidence = in.evidence(i.Feed)
		}
		for _, o := range in.observers {
			o.Observe(*i)
		}
		in.k.events.tell(nodeIncident, api.Hash{}, "", &IncidentData{Kind: i.Kind, Node: i.Node, Author: i.Author, Feed: i.Feed, Count: i.Count, Detail: i.Detail})
	}
}

// evidence reads what proves that a feed is forked: the key event of its device and two envelopes. Nil when it is not all here (any more).
func (in *incidents) evidence(feed api.Hash) [][]byte {
	r := in.k.reader("", in.k.log)
	defer r.Close()
	topic, ok := r.Topic(feed)
	if !ok {
		return nil
	}
	var head fold.Advertised
	for _, a := range r.Advertise(topic.Space) {
		if a.Feed == feed {
			head = a
		}
	}
	if head.Fork == 0 {
		return nil
	}
	var pair [][]byte
	for _, id := range head.Alt {
		raws, _ := r.Range(feed, head.Fork, api.Position{Feed: feed, Seq: head.Fork, ID: id}, 1, record.MaxSize)
		if len(raws) != 1 {
			return nil
		}
		pair = append(pair, raws[0])
	}
	first := pair[:1]
	if head.Fork > 1 {
		first, _ = r.Range(feed, 1, api.Position{Feed: feed, Seq: 1}, 1, record.MaxSize)
	}
	if len(first) != 1 {
		return nil
	}
	env, err := record.Decode(first[0])
	if err != nil {
		return nil
	}
	return [][]byte{env.Auth, pair[0], pair[1]}
}

// gossipKind names what gossip found wrong with a peer. A reason that is not here is a frame that breaks the protocol.
func gossipKind(reason string) string {
	switch reason {
	case "frame in a space that is not shared":
		return api.Unshared
	case "records that were not asked for":
		return api.Unasked
	case "more questions at once than a node needs to ask", "more records than one answer may have":
		return api.Excess
	}
	return api.BadFrame
}

// transportKind names what transport found wrong with a peer.
func transportKind(reason string) string {
	if strings.HasPrefix(reason, "transport.handshake:") {
		return api.BadHandshake
	}
	return api.BadFrame
}

// recordKind names what ingest found wrong with a record that a peer brought; empty when the peer is not at fault.
func recordKind(err error) string {
	switch {
	case err == nil:
		return ""
	case ingest.IsBadSignature(err):
		return api.BadSignature
	case api.KindOf(err) == api.TooLarge:
		return api.Oversized
	case api.KindOf(err) == api.Invalid:
		return api.Malformed
	}
	return ""
}

// clipText bounds what is quoted of a peer.
func clipText(s string) string {
	if len(s) > maxDetail {
		s = s[:maxDetail-3] + "..."
	}
	return strings.ToValidUTF8(s, "")
}

package kernel

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/courier"
	"github.com/intercooperative/icn/kernel/record"
)

// kindPing asks a node who it is and what time it is there: an empty payload, answered by a pongForm. The time is that of the answer's envelope.
const kindPing = "kernel.ping"

type pongForm struct {
	_     struct{} `cbor:",toarray"`
	Build string   // of the software, for people
}

// pong answers a kindPing.
func (k *Kernel) pong(time.Time, *courier.Request) ([]byte, error) {
	return codec.Marshal(&pongForm{Build: k.build()})
}

// build is what this node tells others of its software.
func (k *Kernel) build() string { return "icn-go " + k.opt.Version }

// PingIn names a peer.
type PingIn struct {
	Node   api.DID `json:"node" doc:"node DID of a connected peer"`
	Sealed bool    `json:"sealed,omitempty" doc:"so that nobody else can read question and answer"`
}

// Validate implements api.Validator.
func (in *PingIn) Validate() error {
	_, err := record.ParseDID(string(in.Node))
	return err
}

// PingOut is the answer of peer.ping.
type PingOut struct {
	Node   api.DID `json:"node"`
	Build  string  `json:"build"`
	Wall   int64   `json:"wall" doc:"the peer's wall clock when it answered, Unix milliseconds"`
	RTT    float64 `json:"rtt_ms" doc:"from the question to the answer, work on both sides included; sealed, the first time, with the question for the key"`
	Offset int64   `json:"offset_ms" doc:"how far the peer's clock is ahead of this node's, give or take half of rtt_ms"`
}

func (k *Kernel) pingOperation() api.Operation {
	return api.Handle(api.Operation{
		Name: "peer.ping", Method: "GET", Path: "/peers/ping", CLI: "peer ping", Scope: "peer:read",
		Summary: "Ask a connected peer for a sign of life, by a signed message",
	}, func(ctx context.Context, _ *api.Call, in *PingIn) (*PingOut, error) {
		if k.net == nil {
			return nil, errNoPeers
		}
		out, _, err := k.ping(ctx, in.Node, in.Sealed)
		return out, err
	})
}

// ping asks a peer. Known says that it has answered: then Offset is right, whatever it said.
func (k *Kernel) ping(ctx context.Context, node api.DID, sealed bool) (out *PingOut, known bool, err error) {
	start, wall := time.Now(), k.opt.Now()
	a := k.net.letters.ask(ctx, courier.Question{To: node, Kind: kindPing, Sealed: sealed})
	rtt := time.Since(start)
	out = &PingOut{Node: node, RTT: float64(rtt.Microseconds()) / 1000}
	if known = !a.Sent.IsZero(); known {
		out.Wall, out.Offset = a.Sent.UnixMilli(), a.Sent.Sub(wall.Add(rtt/2)).Milliseconds()
	}
	if a.Err != nil {
		return out, known, api.Wrap("peer.ping", a.Err)
	}
	var p pongForm
	if err := codec.Unmarshal(a.Body, &p); err != nil {
		return out, known, api.Errorf("peer.ping", api.Invalid, "%s answers something else: %w", node, err)
	}
	out.Build = printable(p.Build)
	return out, known, nil
}

// printable drops what a peer's words could do to a terminal.
func printable(s string) string {
	return clipText(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
}

// Bounds of the look at the peers' clocks.
const (
	askClocks    = 16              // peers asked, at most
	clocksWithin = 3 * time.Second // for their answers
	farClocks    = 10 * time.Second
)

// checkPeerClocks holds the wall clock against those of the peers. They may all be wrong, and one peer may lie: it tells a person, and sets nothing.
func (k *Kernel) checkPeerClocks(ctx context.Context) Check {
	c := Check{Name: "peer-clocks", State: CheckSkip, Value: "no peer has told the time"}
	if k.net == nil || k.inline != nil {
		return c
	}
	ctx, cancel := context.WithTimeout(ctx, clocksWithin)
	defer cancel()
	peers := k.net.t.Peers()
	peers = peers[:min(len(peers), askClocks)]
	var mu sync.Mutex
	var offsets []time.Duration
	var all sync.WaitGroup
	for _, p := range peers {
		all.Go(func() {
			if out, known, _ := k.ping(ctx, p.Node, false); known {
				mu.Lock()
				defer mu.Unlock()
				offsets = append(offsets, time.Duration(out.Offset)*time.Millisecond)
			}
		})
	}
	all.Wait()
	if len(offsets) == 0 {
		return c
	}
	slices.Sort(offsets)
	n := len(offsets)
	off := (offsets[(n-1)/2] + offsets[n/2]) / 2
	far := farClocks
	if k.opt.Care.MaxSkew > 0 {
		far = k.opt.Care.MaxSkew
	}
	c.State, c.Value = CheckOK, fmt.Sprintf("the wall clock is off by %s by the median of %d peers", -off, n)
	if off.Abs() > far {
		c.State, c.Next = CheckWarn, "see that this machine's time is right; if it is, tell those who run the peers: icnctl peer ping shows each"
	}
	return c
}

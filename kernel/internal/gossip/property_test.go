package gossip_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// Whatever happens, once the network is whole again all nodes come to hold the same.
func TestEverythingHeals(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(2, 6).Draw(r, "nodes")
		c := newCluster(t, n, gossip.Options{Seed: rapid.Uint64Range(0, 1000).Draw(r, "seed"), Fanout: rapid.IntRange(1, 4).Draw(r, "fanout")})
		c.mesh()
		pick := rapid.IntRange(0, n-1)
		var all []api.Position
		forked := map[api.Hash]bool{}
		publish := func(x *node, many int) {
			for range many {
				feed := feedOf(fmt.Sprint(x.did, rapid.IntRange(0, 2).Draw(r, "feed")))
				var deps []api.Position
				if len(all) > 0 && rapid.Bool().Draw(r, "cites") {
					// Only what the author holds itself can be cited.
					if p := all[rapid.IntRange(0, len(all)-1).Draw(r, "dep")]; p.Feed != feed && x.log.Has(p) {
						deps = append(deps, p)
					}
				}
				all = append(all, c.publish(x, feed, fmt.Sprint(len(all)), deps...))
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"publish": func(r *rapid.T) { publish(c.nodes[pick.Draw(r, "node")], rapid.IntRange(1, 90).Draw(r, "records")) },
			"run":     func(r *rapid.T) { c.run(time.Duration(rapid.IntRange(1, 3000).Draw(r, "ms")) * time.Millisecond) },
			"fork": func(r *rapid.T) {
				if len(all) == 0 {
					return
				}
				p := all[rapid.IntRange(0, len(all)-1).Draw(r, "at")]
				x := c.nodes[pick.Draw(r, "node")]
				e, ok := x.log.get(p)
				if !ok {
					return
				}
				forked[p.Feed] = true
				c.publishAt(x, p.Feed, p.Seq, e.prev, fmt.Sprint("fork", len(all), rapid.Byte().Draw(r, "body")))
			},
			"split": func(r *rapid.T) {
				side := rapid.IntRange(1, 1<<n-1).Draw(r, "side")
				for i, a := range c.nodes {
					for j, b := range c.nodes[:i] {
						if side>>i&1 != side>>j&1 && !c.cut[pair(a.did, b.did)] {
							c.disconnect(a, b)
						}
					}
				}
			},
			"mend": func(*rapid.T) { mend(c) },
			"lose": func(r *rapid.T) {
				c.lose = losing(rapid.Uint64Range(0, 99).Draw(r, "luck"), uint64(rapid.SampledFrom([]int{0, 50, 500}).Draw(r, "permille")))
			},
			"loseAndTell": func(r *rapid.T) {
				lose := losing(rapid.Uint64Range(0, 99).Draw(r, "luck"), 300)
				c.lose = func(from, to api.DID, f wire.Frame) bool {
					lost := lose(from, to, f)
					if lost {
						c.node(from).core.SendFailed(c.now, to)
					}
					return lost
				}
			},
			"refuse": func(r *rapid.T) { c.nodes[pick.Draw(r, "node")].refuse = rapid.IntRange(1, 4).Draw(r, "times") },
			"restart": func(r *rapid.T) {
				x := c.nodes[pick.Draw(r, "node")]
				for _, y := range c.nodes {
					if y != x && !c.cut[pair(x.did, y.did)] {
						c.disconnect(x, y)
					}
				}
				c.restart(x)
				mend(c)
			},
		})
		c.lose = nil
		mend(c)
		if !c.settle(3 * time.Minute) {
			r.Fatalf("not equal 3 minutes after the end of all trouble:\n%s", c.describe())
		}
		for _, p := range all {
			if forked[p.Feed] {
				continue
			}
			for _, x := range c.nodes {
				if !x.log.Has(p) {
					r.Fatalf("%s lacks %s", x.did, p)
				}
			}
		}
		for _, x := range c.nodes {
			if len(x.bad) > 0 {
				r.Fatalf("%s complains of honest nodes: %v", x.did, x.bad)
			}
		}
	})
}

func mend(c *cluster) {
	for i, a := range c.nodes {
		for _, b := range c.nodes[:i] {
			if _, ok := c.cut[pair(a.did, b.did)]; ok {
				c.connect(a, b)
			}
		}
	}
}

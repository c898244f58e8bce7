package gossip_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/gossip"
	"github.com/intercooperative/icn/kernel/internal/wire"
)

// TestScripts runs testdata/scripts/*.txt. The commands:
//
//	nodes n=N [fanout=F] [silent]        a new cluster, fully connected unless silent
//	connect|disconnect a=A b=B           a session comes up or goes down
//	publish node=A feed=F [n=N]          N more records of the feed
//	fork node=A feed=F seq=S             another record at S
//	lose type=T [from=A] [to=B] [n=N]    the next N frames of the type vanish; their sender is told when `told` is set
//	refuse node=A n=N                    its ingest refuses the next N deliveries
//	restart node=A                       forgets all but its records; sessions come up again
//	run ms=N [quiet]                     lets time pass and prints the frames sent
//	stabilize                            runs until all are equal, prints how long it took
//	heads [node=A]                       prints heads
//	status node=A
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		s := &script{t: t}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	t     *testing.T
	c     *cluster
	names map[api.Hash]string
	loss  []*loss
	out   strings.Builder
}

type loss struct {
	frame, from, to string
	n               int
	told            bool
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	s.out.Reset()
	node := func(arg string) *node {
		var did string
		d.ScanArgs(t, arg, &did)
		return s.c.node(api.DID(did))
	}
	number := func(arg string, otherwise int) int {
		d.MaybeScanArgs(t, arg, &otherwise)
		return otherwise
	}
	text := func(arg string) (v string) {
		d.MaybeScanArgs(t, arg, &v)
		return v
	}
	switch d.Cmd {
	case "nodes":
		s.c = newCluster(t, number("n", 2), gossip.Options{Fanout: number("fanout", 0)})
		s.names, s.loss = map[api.Hash]string{}, nil
		s.c.log, s.c.lose = s.print, s.lose
		if !d.HasArg("silent") {
			s.c.mesh()
			s.c.run(2 * time.Second)
			s.out.Reset()
		}
	case "connect":
		s.c.connect(node("a"), node("b"))
	case "disconnect":
		s.c.disconnect(node("a"), node("b"))
	case "publish":
		x, name := node("node"), text("feed")
		s.names[feedOf(name)] = name
		for i := range number("n", 1) {
			s.c.publish(x, feedOf(name), fmt.Sprint(x.did, i))
		}
	case "fork":
		x, name, seq := node("node"), text("feed"), uint64(number("seq", 0))
		s.names[feedOf(name)] = name
		var prev api.Hash
		if seq > 1 {
			prev = x.log.feeds[feedOf(name)].at[seq-1][0].pos.ID
		}
		s.c.publishAt(x, feedOf(name), seq, prev, "fork by "+string(x.did))
	case "lose":
		s.loss = append(s.loss, &loss{text("type"), text("from"), text("to"), number("n", 1), d.HasArg("told")})
	case "refuse":
		node("node").refuse = number("n", 1)
	case "restart":
		x := node("node")
		var up []api.DID
		for _, y := range s.c.nodes {
			if y != x && !s.c.cut[pair(x.did, y.did)] {
				s.c.disconnect(x, y)
				up = append(up, y.did)
			}
		}
		s.c.restart(x)
		for _, y := range up {
			s.c.connect(x, s.c.node(y))
		}
	case "run":
		s.c.run(time.Duration(number("ms", 100)) * time.Millisecond)
		if d.HasArg("quiet") {
			s.out.Reset()
		}
	case "stabilize":
		before := s.c.now
		if !s.c.settle(2 * time.Minute) {
			return "not equal after 2 minutes\n" + s.c.describe()
		}
		s.out.Reset()
		fmt.Fprintf(&s.out, "equal within %s\n", s.c.now.Sub(before))
	case "heads":
		for _, x := range s.c.nodes {
			if n := text("node"); n != "" && n != string(x.did) {
				continue
			}
			var hs []string
			for feed := range x.log.feeds {
				h := x.log.head(feed)
				line := fmt.Sprintf("%s:%d", s.names[feed], h.Seq)
				if h.Fork != 0 {
					line += fmt.Sprintf(" (fork at %d)", h.Fork)
				}
				hs = append(hs, line)
			}
			slices.Sort(hs)
			fmt.Fprintf(&s.out, "%s: %s\n", x.did, strings.Join(hs, ", "))
		}
	case "status":
		x := node("node")
		st, _ := x.core.Status(testSpace)
		fmt.Fprintf(&s.out, "feeds %d, wanted %d, asked %d\n", st.Feeds, st.Wanted, st.Asked)
		for _, p := range st.Peers {
			fmt.Fprintf(&s.out, "%s: eager %t, asked %d, equal %t, different %t\n", p.Node, p.Eager, p.Asked, !p.Equal.IsZero(), p.Different)
		}
		for _, b := range x.bad {
			fmt.Fprintf(&s.out, "incident %s\n", b)
		}
	default:
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	return s.out.String()
}

func (s *script) lose(from, to api.DID, f wire.Frame) bool {
	for _, l := range s.loss {
		if l.n > 0 && l.frame == typeName(f) && (l.from == "" || l.from == string(from)) && (l.to == "" || l.to == string(to)) {
			l.n--
			fmt.Fprintf(&s.out, "    lost\n")
			if l.told {
				s.c.node(from).core.SendFailed(s.c.now, to)
			}
			return true
		}
	}
	return false
}

// print writes one line for a frame.
func (s *script) print(at time.Duration, from, to api.DID, f wire.Frame) {
	what := ""
	switch f := f.(type) {
	case *wire.Push:
		what = s.records(f.Envelopes)
	case *wire.Records:
		what = fmt.Sprintf("ask %d: %s", f.Ask, s.records(f.Envelopes))
	case *wire.Have:
		for _, p := range f.At {
			what += fmt.Sprintf(" %s:%d", s.name(p.Feed), p.Seq)
		}
	case *wire.Digest:
		what = fmt.Sprintf("%d feeds", f.Count)
	case *wire.Buckets:
		what = fmt.Sprintf("under %x", f.Prefix)
	case *wire.Sketch:
		what = parts(f.Parts)
	case *wire.Probe:
		what = parts(f.Parts)
	case *wire.Heads:
		for _, h := range f.Heads {
			what += fmt.Sprintf(" %s:%d", s.name(h.Feed), h.Seq)
			if h.Fork != 0 {
				what += fmt.Sprintf("/fork %d", h.Fork)
			}
		}
	case *wire.Wants:
		what = fmt.Sprintf("ask %d:", f.Ask)
		for _, w := range f.Items {
			exact := ""
			if len(w.At.ID) > 0 {
				exact = " exactly"
			}
			what += fmt.Sprintf(" %s:%d-%d%s", s.name(w.At.Feed), w.From, w.At.Seq, exact)
		}
	}
	fmt.Fprintf(&s.out, "%6dms %s>%s %s\n", at.Milliseconds(), from, to, strings.TrimSpace(typeName(f)+" "+strings.TrimSpace(what)))
}

func (s *script) name(feed []byte) string { return s.names[api.Hash(feed)] }

func parts(ps []wire.Part) string {
	n := 0
	for _, p := range ps {
		n += len(p.Prints) / wire.PrintSize
	}
	return fmt.Sprintf("%d prints in %d parts", n, len(ps))
}

func (s *script) records(envs [][]byte) string {
	var names []string
	for _, env := range envs {
		e, _ := readEntry(env)
		names = append(names, fmt.Sprintf("%s:%d", s.names[e.pos.Feed], e.pos.Seq))
	}
	if len(names) > 6 {
		names = append(names[:3], fmt.Sprintf("... %d records ...", len(names)-4), names[len(names)-1])
	}
	return strings.Join(names, " ")
}

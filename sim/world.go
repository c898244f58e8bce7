package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/intercooperative/icn/app"
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// Options say what a World is like.
type Options struct {
	Seed uint64
	// Nodes is how many members with a node each there are to begin with, the founder among them; 2 to 8.
	Nodes int
	// Liars is how many of them do not keep to the rules: the last ones. The founder always does.
	Liars int
	// Witnesses is how many of the members are witnesses: the first ones, but at most one in three of them may be a liar. 0 and 1 are the founder alone.
	Witnesses int
	// Outsider adds a node that follows the space and belongs to nobody in it.
	Outsider bool
	// Hasty makes the space one for tests, in which what takes days takes seconds.
	Hasty bool
	// SlowDisks makes all disks sync a step late, until their node crashes.
	SlowDisks bool
	Plant     kerneltest.Plant
	// Wrap changes the apps of a node before it starts, nil for nothing: how a test plants faults.
	Wrap   func(node string, apps []api.App) []api.App
	Trace  io.Writer    // what happens, for people; nil for nowhere
	Logger *slog.Logger // of the nodes; nil for nobody
}

// Draw returns the options that belong to a seed of a randomised run: half of them have several witnesses, one in eight a dishonest one.
func Draw(seed uint64) Options {
	o := Options{Seed: seed, Nodes: 3 + int(seed%3), Liars: int(seed / 3 % 2), Outsider: seed/6%2 == 1, SlowDisks: seed/5%2 == 1}
	again := int(seed / 8 % 2)
	switch seed % 8 {
	case 1: // a liar is no witness
		o.Nodes, o.Witnesses = max(o.Nodes, 3+o.Liars), 3
	case 2: // the last witness lies, and another member, too
		o.Nodes, o.Witnesses, o.Liars = 4+again, 4, 1+again
	case 4: // nobody lies, or somebody who is no witness
		o.Nodes, o.Witnesses, o.Liars = 4+again, 4, again
	case 6:
		o.Nodes, o.Witnesses = max(o.Nodes, 3+o.Liars), 3
		if seed%32 == 30 { // seven talk a lot
			o.Nodes, o.Witnesses, o.Liars = 7, 7, 1+int(seed/32%2)
		}
	}
	return o
}

// Currency is the currency of the space, and limit what everybody may owe without a grant, in minor units.
const (
	Currency       = "hours"
	limit    int64 = 5000
)

// World is a co-op: a space, its members, and a node for each.
type World struct {
	*kerneltest.Cluster
	Space api.Hash

	opt       Options
	members   []*kerneltest.Node         // in the order in which they joined
	councils  [][]*kerneltest.Node       // the witnesses, and all that were named to follow them
	clerk     *kerneltest.Node           // who has the office, as far as the registrar knows
	clerks    map[*kerneltest.Node]bool  // all who may have had it
	granted   map[*kerneltest.Node]int64 // the highest limit that each was ever granted
	policed   int64                      // the most that any policy gave anybody
	retries   []retried
	schedules []string                    // by which the clerk charges
	files     []string                    // what the other system has exported, part by part
	took      map[taken]int64             // how much members have taken over at most, ever
	guest     *guest                      // who is about to join, nil for nobody
	moves     map[*kerneltest.Node]moving // who changes devices
	moved     map[*kerneltest.Node]bool   // who has changed devices
	ivy       *elsewhere                  // the member without a node
}

// guest is a node whose member has an invitation and is not a member yet.
type guest struct {
	n  *kerneltest.Node
	in membership.JoinIn
}

// names are those of the members, the founder first.
var names = [...]string{"ann", "bob", "carol", "dan", "erin", "finn", "gus", "hal"}

// New founds the co-op and lets its members join, while nothing goes wrong yet.
func New(o Options) (*World, error) {
	if o.Nodes < 2 || o.Nodes > len(names) || o.Liars < 0 || o.Liars >= o.Nodes {
		return nil, fmt.Errorf("sim: %d nodes, %d of them liars: want 2 to %d, and at least an honest founder", o.Nodes, o.Liars, len(names))
	}
	if lying := o.Liars + o.Witnesses - o.Nodes; o.Witnesses < 0 || o.Witnesses > o.Nodes || lying > max(0, o.Witnesses-1)/3 {
		return nil, fmt.Errorf("sim: %d witnesses among %d members, %d of them liars: at most one of three further witnesses may lie", o.Witnesses, o.Nodes, o.Liars)
	}
	w := &World{opt: o, clerks: map[*kerneltest.Node]bool{}, granted: map[*kerneltest.Node]int64{}, moves: map[*kerneltest.Node]moving{}, moved: map[*kerneltest.Node]bool{}, took: map[taken]int64{}}
	w.Cluster = kerneltest.NewCluster(kerneltest.ClusterOptions{
		Seed: o.Seed, AccessDomain: membership.Domain, RateDomain: trust.Domain, SlowDisks: o.SlowDisks, Plant: o.Plant, Trace: o.Trace, Logger: o.Logger,
		Apps: func(node string, random io.Reader) []api.App {
			apps := app.Standard(app.Options{Random: random})
			if o.Wrap != nil {
				apps = o.Wrap(node, apps)
			}
			return apps
		},
		Link: kerneltest.Link{Delay: 5 * time.Millisecond, Jitter: 20 * time.Millisecond},
	})
	if err := w.found(); err != nil {
		w.Close()
		return nil, err
	}
	if o.Seed%4 == 3 { // others get one on the way, or none
		_ = w.policy()
	}
	return w, nil
}

func (w *World) found() error {
	ann, err := w.Add(names[0])
	if err != nil {
		return err
	}
	lim := limit
	in := membership.CreateIn{Name: "Sim", Currency: Currency, DefaultLimit: &lim, Test: w.opt.Hasty}
	nodes := []*kerneltest.Node{ann}
	for i, name := range names[1:w.opt.Nodes] {
		n, err := w.Add(name)
		if err != nil {
			return err
		}
		if i+1 >= w.opt.Nodes-w.opt.Liars {
			n.Corrupt()
		}
		if i+1 < w.opt.Witnesses {
			in.Witnesses = append(in.Witnesses, n.Member().Device())
		}
		nodes = append(nodes, n)
	}
	out, err := call(ann, "space.create", in)
	if err != nil {
		return err
	}
	w.Space = out.(*membership.CreateOut).Space
	w.clerk, w.councils = ann, [][]*kerneltest.Node{nodes[:max(1, w.opt.Witnesses)]}
	w.members = append(w.members, ann)
	for _, n := range nodes[1:] {
		if err := w.Join(n); err != nil {
			return err
		}
	}
	if !w.opt.Outsider {
		return nil
	}
	zoe, err := w.Add("zoe")
	if err != nil {
		return err
	}
	zoe.Outsider = true
	zoe.Stop()
	if err := zoe.Follow(w.Space); err != nil {
		return err
	}
	return zoe.Start()
}

// joinMost bounds the time that a join may take on a network where nothing goes wrong any more.
const joinMost = 2 * time.Minute

// Join lets the node's member join with an invitation by the founder's, and waits until it belongs.
func (w *World) Join(n *kerneltest.Node) error {
	in, err := w.invitation()
	if err != nil {
		return err
	}
	w.guest = &guest{n, in}
	return w.admit()
}

// invitation asks the founder for one.
func (w *World) invitation() (in membership.JoinIn, err error) {
	out, err := call(w.members[0], "space.invite", membership.InviteIn{Space: w.Space, ExpiresHours: 8760})
	if err == nil {
		in.Invitation = out.(*membership.InviteOut).Invitation
	}
	return in, err
}

// knock lets the guest try once more, if there is one.
func (w *World) knock() error {
	if w.guest == nil {
		return nil
	}
	_, err := hurry(w.guest.n, "space.join", w.guest.in)
	if err == nil {
		w.members = append(w.members, w.guest.n)
		w.guest = nil
	}
	return err
}

// admit waits until the guest belongs.
func (w *World) admit() error {
	for end := w.Now().Add(joinMost); ; {
		err := w.knock()
		if err == nil {
			return nil
		}
		if w.Now().After(end) {
			return fmt.Errorf("%s cannot join: %w", w.guest.n.Name, err)
		}
		if err := w.Advance(200 * time.Millisecond); err != nil {
			return err
		}
	}
}

// call asks an operation that does not wait for other nodes.
func call(n *kerneltest.Node, name string, in any) (any, error) {
	return n.Call(context.Background(), name, in)
}

// hurry asks an operation that would wait for other nodes, and does not let it.
func hurry(n *kerneltest.Node, name string, in any) (any, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return n.Call(ctx, name, in)
}

// Topic returns the topic of payments.
func (w *World) Topic() api.Topic { return api.Topic{Space: w.Space, Name: fact.LedgerTopic} }

// Run takes steps of workload and faults, ends all faults, lets who wants to join do so, and makes all checks. The
// honest must be able to go on then. It returns the first thing that is
// wrong.
func (w *World) Run(steps int) error {
	actions := append(w.workload(), kerneltest.Faults()...)
	if w.opt.Liars > 0 {
		actions = append(actions, kerneltest.Lies(w.Topic, "transfer")...)
		actions = append(actions, w.lies()...)
	}
	if err := w.admitElsewhere(); err != nil {
		return err
	}
	books, protocol, heard := w.books(), w.protocol(), w.audience()
	if err := w.Cluster.Run(steps, actions, books, protocol, w.ivy, heard); err != nil {
		return err
	}
	if err := w.EndFaults(); err != nil {
		return err
	}
	if err := w.admit(); err != nil {
		return err
	}
	if err := w.Settle(); err != nil {
		return err
	}
	if err := w.endMoves(); err != nil {
		return err
	}
	if err := w.goOn(); err != nil {
		return err
	}
	if err := w.endCheckpoints(); err != nil {
		return err
	}
	if err := w.ivy.settle(); err != nil {
		return err
	}
	return w.CheckEnd(books, protocol, w.ivy, heard)
}

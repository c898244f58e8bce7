package kernel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
	"github.com/intercooperative/icn/kernel/internal/ingest"
)

// Check is one finding of node.doctor.
type Check struct {
	Name  string `json:"name"`
	State string `json:"state" doc:"ok, warn, fail or skip"`
	Value string `json:"value" doc:"what was found"`
	Next  string `json:"next,omitempty" doc:"what to do about it"`
}

// The states of a check.
const (
	CheckOK   = "ok"
	CheckWarn = "warn" // it works, and a person should look at it
	CheckFail = "fail" // something does not work, or will stop working soon
	CheckSkip = "skip" // it does not apply here
)

// DoctorOut is the answer of node.doctor.
type DoctorOut struct {
	OK       bool    `json:"ok" doc:"nothing failed"`
	Warnings int     `json:"warnings"`
	Failures int     `json:"failures"`
	Checks   []Check `json:"checks"`
}

// Diagnose sums checks up.
func Diagnose(checks []Check) *DoctorOut {
	out := &DoctorOut{Checks: checks}
	for _, c := range checks {
		switch c.State {
		case CheckWarn:
			out.Warnings++
		case CheckFail:
			out.Failures++
		}
	}
	out.OK = out.Failures == 0
	return out
}

func (k *Kernel) careOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "node.doctor", Method: "GET", Path: "/node/doctor", CLI: "doctor", Scope: "node:read",
			Summary: "Look this node over and say what to do next",
		}, k.opDoctor),
		api.HandleStream(api.Operation{
			Name: "snapshot.create", Method: "POST", Path: "/snapshots", CLI: "snapshot create", Scope: "snapshot:write",
			Summary: "Write an encrypted archive of everything this node holds, while it runs",
		}, k.opSnapshot),
	}
}

// doctorWithin bounds a whole examination.
const doctorWithin = 20 * time.Second

func (k *Kernel) opDoctor(ctx context.Context, _ *api.Call, _ *None) (*DoctorOut, error) {
	ctx, cancel := context.WithTimeout(ctx, doctorWithin)
	defer cancel()
	checks := []Check{k.checkWall(ctx), k.checkPeerClocks(ctx), k.checkHybrid()}
	if k.st.Engine() == "pebble" {
		checks = append(checks, checkSpace(k.opt.DataDir), checkSync(k.opt.DataDir))
	} else {
		checks = append(checks, Check{Name: "disk", State: CheckSkip, Value: "the store is not on this machine's disk: " + k.st.Engine()})
	}
	checks = append(checks, k.checkStore(), checkBuffers(), checkFiles())
	for _, more := range k.opt.Care.Checks {
		checks = append(checks, more(ctx)...)
	}
	checks = append(checks, k.checkListen(ctx), k.checkPeers())
	checks = append(checks, k.checkSpaces()...)
	checks = append(checks, k.checkWaiting(ctx), k.checkSnapshot())
	for _, a := range k.opt.Apps {
		if e, ok := a.(api.Examiner); ok {
			f := e.Examine()
			c := Check{Name: f.Name, State: CheckOK, Value: f.Value}
			if f.Failed {
				c.State, c.Next = CheckFail, f.Next
			}
			checks = append(checks, c)
		}
	}
	return Diagnose(checks), nil
}

// checkWall holds the wall clock against the time servers: by the last reading, or by a new one before the first.
func (k *Kernel) checkWall(ctx context.Context) Check {
	c := Check{Name: "clock", State: CheckSkip, Value: "no time servers are set (clock.ntp_servers)"}
	if k.care.alarm == nil {
		return c
	}
	r, ok := k.care.alarm.Last()
	if !ok {
		r = k.care.alarm.Check(ctx)
	}
	switch {
	case !r.Known:
		c.State, c.Value = CheckWarn, fmt.Sprintf("%d of %d time servers answer, which tells nothing: %v", r.Good, r.Asked, errors.Join(r.Errs...))
		c.Next = "see that UDP port 123 is let out, or name other servers in clock.ntp_servers"
	case r.Far:
		c.State, c.Value = CheckWarn, fmt.Sprintf("the wall clock is off by %s by the median of %d time servers", -r.Offset.Round(time.Millisecond), r.Good)
		c.Next = "run a time service on this machine: records dated ahead have to wait at others"
	default:
		c.State, c.Value = CheckOK, fmt.Sprintf("off by %s by the median of %d time servers", -r.Offset.Round(time.Millisecond), r.Good)
	}
	return c
}

// hybridAhead is how far others may have taken the hybrid clock before that is worth a word: clocks of machines with a time service differ by less.
const hybridAhead = 2 * time.Second

// checkHybrid compares the hybrid clock with the wall clock. It moves past it only for what peers show, so it tells of their clocks too.
func (k *Kernel) checkHybrid() Check {
	now := k.opt.Now()
	if last, dropped := k.clock.Dropped(); dropped {
		return Check{
			Name: "hybrid-clock", State: CheckWarn, Value: fmt.Sprintf("before its last start this node stamped records with %s, far ahead of the wall clock", last.Time().Format(time.RFC3339)),
			Next: "see that this machine's time is right now; others hold those records back until they are due",
		}
	}
	ahead := k.clock.Last().Time().Sub(now)
	c := Check{Name: "hybrid-clock", State: CheckOK, Value: "with the wall clock"}
	if ahead > hybridAhead {
		c.State, c.Value = CheckWarn, fmt.Sprintf("%s ahead of the wall clock: peers' clocks are ahead of this one, or it was set back", ahead.Round(time.Millisecond))
		c.Next = "run a time service on this machine, and compare with the peers"
	}
	return c
}

// manyBytes is how much compaction may be behind before that is worth a word.
const manyBytes = 1 << 30

func (k *Kernel) checkStore() Check {
	m := k.st.Metrics()
	c := Check{Name: "store", State: CheckOK, Value: fmt.Sprintf("%s, format %d, %s", k.st.Engine(), k.st.Format(), megabytes(k.st.Bytes()))}
	if m.Debt > manyBytes {
		c.State, c.Next = CheckWarn, "the disk does not keep up with the records: use a faster one"
		c.Value += ", " + megabytes(m.Debt) + " waiting to be put in order"
	}
	if k.st.Engine() == "mem" {
		c.State, c.Next = CheckWarn, "this node forgets everything when it stops: set store.engine to pebble unless it is a trial"
	}
	return c
}

func megabytes(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// checkListen asks this node's own addresses whether a node answers there.
func (k *Kernel) checkListen(ctx context.Context) Check {
	c := Check{Name: "listen", State: CheckSkip, Value: "this node runs without peers (network.bind_addr)"}
	if k.net == nil {
		return c
	}
	var good, silent []string
	for _, a := range k.net.t.Addresses()[:min(len(k.net.t.Addresses()), maxProbes)] {
		_, hostPort, _ := strings.Cut(a, "@")
		if err := probe(ctx, hostPort); err != nil {
			silent = append(silent, hostPort)
		} else {
			good = append(good, hostPort)
		}
	}
	switch {
	case len(good) == 0:
		c.State, c.Value = CheckFail, "nothing answers at "+orNone(silent)
		c.Next = "see that network.bind_addr is an address of this machine, and that a firewall lets UDP through"
	case len(silent) > 0:
		c.State, c.Value = CheckWarn, "answers at "+orNone(good)+", not at "+orNone(silent)
		c.Next = "an address that a router forwards may not answer from inside: try it from another network"
	default:
		c.State, c.Value = CheckOK, "answers at "+orNone(good)
	}
	return c
}

func orNone(ss []string) string {
	if len(ss) == 0 {
		return "no address"
	}
	return strings.Join(ss, ", ")
}

func (k *Kernel) checkPeers() Check {
	c := Check{Name: "peers", State: CheckSkip, Value: "this node runs without peers"}
	if k.net == nil {
		return c
	}
	kept := len(k.opt.Bootstrap)
	if err := fold.Metas(k.st, metaPeer, func(string, []byte) bool { kept++; return true }); err != nil {
		return Check{Name: "peers", State: CheckFail, Value: err.Error(), Next: "the store cannot be read: see the log"}
	}
	up := len(k.net.t.Peers())
	c.State, c.Value = CheckOK, fmt.Sprintf("%d up, %d addresses kept", up, kept)
	if up == 0 && kept > 0 {
		c.State, c.Next = CheckWarn, "see whether the others run, and that UDP gets out: icnctl peer list"
	}
	return c
}

// checkSpaces looks at the spaces, the forks and the records that this build cannot fold.
func (k *Kernel) checkSpaces() []Check {
	spaces := k.follows.list()
	out := []Check{{Name: "spaces", State: CheckOK, Value: fmt.Sprintf("%d followed", len(spaces))}}
	if len(spaces) == 0 {
		out[0].State, out[0].Next = CheckWarn, "create a space, or join one with an invitation"
	}
	r := k.reader("", k.log)
	defer r.Close()
	forked, waiting := 0, 0
	var some, behind []string
	for _, s := range spaces {
		for _, h := range r.Heads(api.Topic{Space: s}) {
			if h.Fork == 0 {
				continue
			}
			if forked++; len(some) < 3 {
				some = append(some, h.Tip.Feed.Short())
			}
		}
		n, feeds := r.Waiting(s)
		waiting += n
		for _, f := range feeds[:min(len(feeds), 3-len(behind))] {
			behind = append(behind, f.Short())
		}
	}
	forks := Check{Name: "forks", State: CheckOK, Value: "none"}
	if forked > 0 {
		forks.State, forks.Value = CheckWarn, fmt.Sprintf("%d forked feeds, such as %s", forked, strings.Join(some, ", "))
		forks.Next = "their authors signed two records for one place, often with a copy of a data directory; the office of the space can resolve it"
	}
	unfolded := Check{Name: "unfolded", State: CheckOK, Value: "none"}
	if waiting > 0 {
		unfolded.State, unfolded.Value = CheckWarn, fmt.Sprintf("%d feeds end in records that this build does not know, such as %s", waiting, strings.Join(behind, ", "))
		unfolded.Next = "upgrade this node, then run `icnctl state rebuild`"
	}
	return append(out, forks, unfolded)
}

// manyWaiting is how many records in the holding area are worth a word.
const manyWaiting = 1000

func (k *Kernel) checkWaiting(ctx context.Context) Check {
	n := 0
	err := k.road.Do(ctx, func(e *ingest.Engine) error {
		n, _ = e.Room()
		return nil
	})
	c := Check{Name: "waiting", State: CheckOK, Value: fmt.Sprintf("%d records wait for others", n)}
	switch {
	case err != nil:
		c.State, c.Value, c.Next = CheckFail, "the node takes no records: "+err.Error(), "see the log; restart the node"
	case n > manyWaiting:
		c.State, c.Next = CheckWarn, "somebody cites what nobody brings: icnctl peer list shows whom the node talks to"
	}
	return c
}

// oldSnapshot is the age at which a backup is worth a word: a weekly one that was missed.
const oldSnapshot = 8 * 24 * time.Hour

func (k *Kernel) checkSnapshot() Check {
	c := Check{Name: "snapshot", State: CheckWarn, Value: "none was made of this store", Next: "icnctl snapshot create, and keep the file on another machine"}
	b, ok, err := fold.Meta(k.st, metaLast)
	var last lastSnapshot
	if err != nil || !ok || codec.Unmarshal(b, &last) != nil {
		return c
	}
	age := k.opt.Now().Sub(time.UnixMilli(last.Created))
	c.Value = fmt.Sprintf("the last is %s old, with %d records: %s", age.Round(time.Minute), last.Records, last.Path)
	if age <= oldSnapshot {
		c.State, c.Next = CheckOK, ""
	}
	return c
}

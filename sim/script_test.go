package sim_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/sim"
)

// TestScripts runs the scenarios of the design: each file of testdata/script is one, by its name. The commands are those of script.do; -rewrite
// writes down what came out, which has to be read like code before it is kept.
//
// The scenarios of the design are stale-limit, ack-of-two-branches, no-cascade, fifty-accomplices, hidden-certificate, freeze-mid-lock,
// removed-but-acked, future-clock, poisoned-id, withheld-dep, two-phones, restored-backup, witness-swap, office-handover, late-joiner, ancient-and-flood, mixed-builds, levy-dodger,
// two-tallies (of members who uphold a claim; ballots are still to come) and escrow-race; its short
// histories adoption, draft-cited, late-close, office-cut, silent-office, stale-certificate, vow-ends and, as vow-stands, rival-shown. one-variant is the rule
// that void-base is about. The other files show one rule each.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/script", func(t *testing.T, path string) {
		s := &script{}
		t.Cleanup(func() {
			if s.w != nil {
				s.w.Close()
			}
		})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for i, line := range strings.Split(d.Input, "\n") {
				words := strings.Fields(line)
				if len(words) == 0 || strings.HasPrefix(words[0], "#") {
					continue
				}
				got, err := s.do(words)
				if err != nil {
					d.Fatalf(t, "line %d, %q: %v", i+1, line, err)
				}
				out.WriteString(got)
			}
			if out.Len() == 0 {
				return "ok\n"
			}
			return out.String()
		})
	})
}

// play runs the commands of a script with a planted fault, and returns the first error, which is a check that fails.
func play(path string, planted sim.Options) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s := &script{planted: planted}
	defer func() {
		if s.w != nil {
			s.w.Close()
		}
	}()
	on := false
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			on = false
		case words[0] == "run":
			on = true
		case words[0] == "----":
			on = false
		case on && !strings.HasPrefix(words[0], "#"):
			if _, err := s.do(words); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimSpace(line), err)
			}
		}
	}
	return nil
}

// script is a world that a file drives.
type script struct {
	w       *sim.World
	planted sim.Options                  // Plant and Wrap, when a fault is planted
	old     map[string]bool              // nodes whose build does not know grants
	labels  map[string]map[api.Hash]byte // how records at one place are called, in the order in which they were met: a, b, ...
	escrow  api.Hash                     // the newest
	dispute api.Hash
}

// do runs one line:
//
//	world <nodes> [<liars> [<witnesses>]] [outsider|hasty]  found a co-op; the last members are the liars, the first ones the witnesses; an outsider
//	                                   follows the space and may not; in a hasty one what takes hours takes seconds
//	pay <who> <to> <minor units> [xN]  prints refusals
//	allot <who> <minor units>; tab <who> at <node> pays <to> <minor units> | returns; cut-tab <who> [ends]   a further device of who; prints refusals
//	attest <who> <to> <score>
//	join <name>                        a new node and member
//	advance <duration> | agree <duration> [but <name>...] | settle
//	partition <name>... | <name>... [| ...]; block <from> <to>; heal
//	crash <name> power|kill|torn; stop <name>; start <name>; rebuild <name>; skew <name> <duration>
//	fork <who> <seq> <like> <branches> to <name>...   of its payments
//	poison|withhold|boast <who> on|off; replay|flood|keys <who>; postdate <who> <duration>; overspend <who> <times>
//	mute <who> <topic>|*|nothing         keep what its own member writes there to itself
//	state <who> <record> counting <cuts> to <name>...   sign as a witness whatever it is, with so many cuts in account; a record is
//	                                   <who>[/<device>][.<topic>]:<seq>[<letter>], of payments and of the newest device by default
//	promise <who> <whose> <at>|nothing citing <record>|nothing to <name>...   answer the draft of a cut of whose payments
//	cite <who> <record>[,<record>...] to <name>...   repeat its newest payment, standing on the records and the witnesses' newest words
//	after <who> <record> to <name>...  repeat this payment of its own right after it
//	cut <who> [<record>]               of its payments; the record is on the branch to choose
//	cut <who> in <topic>               of its feed in another topic; prints refusals
//	replace|reballot <who> by <name>...  each of these nodes is asked to make who the registrar, or to in another ballot; prints what it answers
//	close <who>                        ends its feed of payments; prints refusals
//	forgeclose <who> <record>|nothing to <name>...   signs a close after its newest payment that names the record
//	device <who>                       the registrar gives it its next device; prints refusals; again, for what was left out
//	swap <name>...                     the registrar names them as the next witnesses; prints refusals
//	hand <office> <who>                the registrar gives an office to somebody else; prints refusals
//	epoch                              which witness epoch is in force for whom
//	give <who>                         the same for a device that is in use
//	take <who>                         takes it into use
//	backup <who>; restore <who> [same]  loses the disk and boots on the backup, with the next device, or with the same; prints refusals
//	build <who> old|new                a build that does not know grants, or does: a new start, and the state made anew
//	haunt <who>                        a dishonest one goes on with the device before
//	grant <who> <limit>                by whoever has the clerk's office; prints refusals
//	freeze <who>; lift <who>           likewise
//	dues <minor units>                 the clerk charges all members, once; prints refusals
//	escrow <who> <payee> <minor units>; release <who> [<minor units>]; giveback <who> [<minor units>]   of the newest escrow; prints refusals
//	dispute <who> <whom> <minor units>; uphold <who> [back]   of the newest payment of who to whom; of the newest dispute; prints refusals
//	deals                              what has become of the newest escrow and the newest dispute
//	show <record>                        what the running nodes make of the records at one place
//	books                              balances and payment feeds as the running honest nodes see them
//	dated                              how far ahead of the true time the newest payment of each is dated
//	room                               records that wait on each honest node
//	words                              check what is final against what the witnesses have said
//	check                              all checks of a run's end
func (s *script) do(words []string) (string, error) {
	verb, args := words[0], words[1:]
	if verb == "world" {
		return "", s.found(args)
	}
	w := s.w
	switch verb {
	case "advance":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		return "", w.Advance(d)
	case "agree":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		var but []*kerneltest.Node
		if len(args) > 2 {
			but = s.nodes(args[2:])
		}
		return "", w.Agree(d, but...)
	case "settle":
		return "", w.Settle()
	case "partition":
		var islands [][]api.DID
		for _, side := range strings.Split(strings.Join(args, " "), "|") {
			var ds []api.DID
			for _, n := range s.nodes(strings.Fields(side)) {
				ds = append(ds, n.DID())
			}
			islands = append(islands, ds)
		}
		w.Net.Partition(islands...)
		return "", nil
	case "heal":
		w.Net.Heal()
		return "", nil
	case "dues":
		amount, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return "", err
		}
		if err := s.w.Dues(amount); err != nil {
			return fmt.Sprintf("dues: %s\n", why(err)), nil
		}
		return "", nil
	case "deals":
		return s.deals(), nil
	case "books":
		return s.books(), nil
	case "dated":
		return s.dated(), nil
	case "room":
		return s.room()
	case "show":
		return s.show(args[0])
	case "cut":
		var adopt api.Position
		var err error
		topic := fact.LedgerTopic
		if len(args) > 2 {
			topic = args[2]
		} else if len(args) > 1 {
			if adopt, err = s.record(args[1]); err != nil {
				return "", err
			}
		}
		if err = w.Cut(w.Node(args[0]), topic, adopt.ID); err != nil {
			return fmt.Sprintf("cut of %s: %s\n", args[0], why(err)), nil
		}
		return "", nil
	case "grant":
		most, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return "", err
		}
		if err := w.Grant(w.Node(args[0]), most); err != nil {
			return fmt.Sprintf("grant to %s: %s\n", args[0], why(err)), nil
		}
		return "", nil
	case "freeze", "lift":
		return "", w.Freeze(w.Node(args[0]), verb == "lift")
	case "swap":
		if err := w.Swap(s.nodes(args)...); err != nil {
			return fmt.Sprintf("swap: %s\n", why(err)), nil
		}
		return "", nil
	case "hand":
		if err := w.Hand(args[0], w.Node(args[1])); err != nil {
			return fmt.Sprintf("hand %s: %s\n", args[0], why(err)), nil
		}
		return "", nil
	case "epoch":
		return s.epoch(), nil
	case "check":
		return "", w.Check()
	case "words":
		return "", w.CheckWords()
	case "join":
		n, err := w.Add(args[0])
		if err != nil {
			return "", err
		}
		return "", w.Join(n)
	}
	return s.act(verb, w.Node(args[0]), args[1:])
}

func (s *script) found(args []string) (err error) {
	o := sim.Options{Seed: 1, Plant: s.planted.Plant, Outsider: args[len(args)-1] == "outsider", Hasty: args[len(args)-1] == "hasty"}
	if o.Outsider || o.Hasty {
		args = args[:len(args)-1]
	}
	s.old = map[string]bool{}
	o.Wrap = func(node string, apps []api.App) []api.App {
		if s.old[node] {
			apps = oldBuild(apps)
		}
		if s.planted.Wrap != nil {
			apps = s.planted.Wrap(node, apps)
		}
		return apps
	}
	s.labels = map[string]map[api.Hash]byte{}
	for i, p := range []*int{&o.Nodes, &o.Liars, &o.Witnesses} {
		if i < len(args) {
			if *p, err = strconv.Atoi(args[i]); err != nil {
				return err
			}
		}
	}
	if s.w != nil {
		s.w.Close()
	}
	s.w, err = sim.New(o)
	return err
}

func (s *script) nodes(names []string) (ns []*kerneltest.Node) {
	for _, name := range names {
		ns = append(ns, s.w.Node(name))
	}
	return ns
}

// act runs what one node does or suffers.
func (s *script) act(verb string, n *kerneltest.Node, args []string) (string, error) {
	number := func(i int) int {
		v, err := strconv.Atoi(strings.TrimPrefix(args[i], "x"))
		if err != nil {
			panic(err)
		}
		return v
	}
	switch verb {
	case "pay":
		times := 1
		if len(args) > 2 {
			times = number(2)
		}
		var out strings.Builder
		for range times {
			if err := s.w.Pay(n, s.w.Node(args[0]), int64(number(1))); err != nil {
				fmt.Fprintf(&out, "%s to %s: %s\n", n.Name, args[0], why(err))
			}
		}
		return out.String(), nil
	case "allot":
		if err := s.w.Allot(n, int64(number(0))); err != nil {
			return fmt.Sprintf("%s allots: %s\n", n.Name, why(err)), nil
		}
	case "tab":
		var err error
		if at := s.w.Node(args[1]); args[2] == "pays" {
			err = s.w.PayFrom(n, at, s.w.Node(args[3]), int64(number(4)))
		} else {
			err = s.w.Return(n, at)
		}
		if err != nil {
			return fmt.Sprintf("tab of %s: %s\n", n.Name, why(err)), nil
		}
	case "cut-tab":
		if err := s.w.CutTab(n, len(args) > 0); err != nil {
			return fmt.Sprintf("cut of the tab of %s: %s\n", n.Name, why(err)), nil
		}
	case "attest":
		score, err := strconv.ParseFloat(args[1], 64)
		if err != nil {
			return "", err
		}
		return "", s.w.Attest(n, s.w.Node(args[0]), score)
	case "block":
		s.w.Net.Block(n.DID(), s.w.Node(args[0]).DID())
	case "replace", "reballot":
		var out strings.Builder
		for _, name := range args[1:] {
			got, err := s.w.Replace(s.w.Node(name), n, verb == "reballot")
			if err != nil {
				got = why(err)
			}
			fmt.Fprintf(&out, "%s: %s\n", name, got)
		}
		return out.String(), nil
	case "close":
		if err := s.w.CloseFeed(n); err != nil {
			return fmt.Sprintf("close of %s: %s\n", n.Name, why(err)), nil
		}
	case "forgeclose":
		p, err := s.record(args[0])
		if err != nil {
			return "", err
		}
		return "", s.w.CloseAt(n, p, s.nodes(args[2:])...)
	case "give":
		if err := s.w.GiveUsed(n); err != nil {
			return fmt.Sprintf("device of %s: %s\n", n.Name, why(err)), nil
		}
	case "device":
		if err := s.w.GiveDevice(n); err != nil {
			return fmt.Sprintf("device of %s: %s\n", n.Name, why(err)), nil
		}
	case "backup":
		return "", n.Backup()
	case "restore":
		if err := n.Restore(len(args) > 0 && args[0] == "same"); err != nil {
			return fmt.Sprintf("%s does not start: %s\n", n.Name, api.KindOf(err).Code()), nil
		}
		if len(args) == 0 {
			s.w.Restored(n)
		}
	case "take":
		return "", s.w.TakeDevice(n)
	case "haunt":
		n.Haunt("transfer")
	case "crash":
		n.Crash(kerneltest.Crash(slices.Index([]string{"power", "kill", "torn"}, args[0])))
	case "stop":
		n.Stop()
	case "start":
		return "", n.Start()
	case "rebuild":
		return "", sim.Rebuild(n)
	case "build":
		s.old[n.Name] = args[0] == "old"
		n.Stop()
		if err := n.Start(); err != nil {
			return "", err
		}
		_, err := sim.Upgraded(n)
		return "", err
	case "skew", "postdate":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return "", err
		}
		if verb == "skew" {
			n.SetSkew(d)
		} else if !n.Postdate(d) {
			return "", fmt.Errorf("%s has no record to follow", n.Name)
		}
	case "fork":
		return "", n.Fork(fact.LedgerTopic, uint64(number(0)), uint64(number(1)), number(2), s.nodes(args[4:])...)
	case "overspend":
		n.Repeat("transfer", number(0))
	case "mute":
		n.Mute(strings.TrimPrefix(args[0], "nothing"))
	case "state":
		p, err := s.record(args[0])
		if err != nil {
			return "", err
		}
		return "", s.w.State(n, p, uint64(number(2)), s.nodes(args[4:])...)
	case "cite":
		var ps []api.Position
		for text := range strings.SplitSeq(args[0], ",") {
			p, err := s.record(text)
			if err != nil {
				return "", err
			}
			ps = append(ps, p)
		}
		return "", s.w.Cite(n, ps, s.nodes(args[2:])...)
	case "after":
		p, err := s.record(args[0])
		if err != nil {
			return "", err
		}
		return "", s.w.After(n, p, s.nodes(args[2:])...)
	case "promise":
		at, err := s.record(args[1])
		if err != nil {
			return "", err
		}
		cite, err := s.record(args[3])
		if err != nil {
			return "", err
		}
		return "", s.w.Promise(n, s.w.Node(args[0]), fact.LedgerTopic, at, cite, s.nodes(args[5:])...)
	case "poison":
		n.Poison(args[0] == "on")
	case "withhold":
		n.Withhold(args[0] == "on")
	case "boast":
		n.Boast(args[0] == "on")
	case "replay":
		n.Replay()
	case "flood":
		n.Flood(s.w.Topic(), "transfer")
	case "keys":
		n.SpellKeys()
	default:
		return s.deal(verb, n, args)
	}
	return "", nil
}

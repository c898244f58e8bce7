package sim_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// place reads <who>[/<device>][.<topic>]:<seq>[<letter>].
func (s *script) place(text string) (feed api.Topic, device api.Key, seq uint64, letter byte, err error) {
	name, number, _ := strings.Cut(text, ":")
	name, topic, _ := strings.Cut(name, ".")
	name, nth, _ := strings.Cut(name, "/")
	which, _ := strconv.Atoi(nth)
	if topic == "" {
		topic = fact.LedgerTopic
	}
	if last := number[max(0, len(number)-1):]; last >= "a" && last <= "z" {
		letter, number = last[0], number[:len(number)-1]
	}
	seq, err = strconv.ParseUint(number, 10, 64)
	return api.Topic{Space: s.w.Space, Name: topic}, s.w.Node(name).Device(which), seq, letter, err
}

// meet gives the records at a place their letters: those that a node holds, dishonest ones included, in the order of its log, node by node.
func (s *script) meet(text string) (byLetter map[byte]api.Position, key string, err error) {
	topic, device, seq, _, err := s.place(text)
	if err != nil {
		return nil, "", err
	}
	key = fmt.Sprint(topic, device, seq)
	if s.labels[key] == nil {
		s.labels[key] = map[api.Hash]byte{}
	}
	byLetter = map[byte]api.Position{}
	for _, n := range s.w.Nodes() {
		for _, r := range n.Records() {
			if r.Topic != topic || r.Device != device || r.Seq != seq {
				continue
			}
			if _, known := s.labels[key][r.ID]; !known {
				s.labels[key][r.ID] = 'a' + byte(len(s.labels[key]))
			}
			byLetter[s.labels[key][r.ID]] = r.Position()
		}
	}
	return byLetter, key, nil
}

// record finds a record by place and letter; "nothing" is the zero position.
func (s *script) record(text string) (api.Position, error) {
	if text == "nothing" {
		return api.Position{}, nil
	}
	at, _, err := s.meet(text)
	if err != nil {
		return api.Position{}, err
	}
	_, _, _, letter, _ := s.place(text)
	p, ok := at[max(letter, 'a')]
	if !ok {
		return p, fmt.Errorf("no record %s", text)
	}
	return p, nil
}

// show says what the running honest nodes make of the records at a place, once for all nodes that make the same of them.
func (s *script) show(text string) (string, error) {
	at, _, err := s.meet(text)
	if err != nil {
		return "", err
	}
	views := map[string][]string{}
	for _, n := range s.w.Honest() {
		if !n.Up() || n.Outsider {
			continue
		}
		r := n.Read("")
		var parts []string
		for _, letter := range slices.Sorted(maps.Keys(at)) {
			_, v, ok := r.Record(at[letter])
			if !ok {
				continue
			}
			part := fmt.Sprintf("%c accepted", letter)
			if v.Reason != nil && v.Reason.Rule == "unknown-kind" {
				part = fmt.Sprintf("%c stored, not folded", letter)
			} else if !v.Accepted {
				part = fmt.Sprintf("%c void by %s", letter, v.Reason.Rule)
			}
			if v.Held {
				part += ", held"
			}
			if v.Final {
				part += ", final"
			}
			parts = append(parts, part)
		}
		r.Close()
		view := strings.Join(parts, "; ")
		if view == "" {
			view = "not here"
		}
		views[view] = append(views[view], n.Name)
	}
	var out strings.Builder
	for _, v := range slices.SortedFunc(maps.Keys(views), func(a, b string) int { return strings.Compare(views[a][0], views[b][0]) }) {
		fmt.Fprintf(&out, "%s on %s: %s\n", text, strings.Join(views[v], ", "), v)
	}
	return out.String(), nil
}

// why is the rule or the kind of a refusal.
func why(err error) string {
	if r := api.ReasonOf(err); r != nil {
		return r.Rule
	}
	return api.KindOf(err).Code()
}

// books describes balances and payment feeds, once for all nodes that see the same.
func (s *script) books() string {
	return s.views(func(b *strings.Builder, n *kerneltest.Node) {
		for _, m := range s.w.Nodes() {
			if m.Outsider {
				continue
			}
			out, err := n.Ask("ledger.balance", ledger.BalanceIn{Space: s.w.Space, DID: m.Member().DID()})
			if err != nil {
				fmt.Fprintf(b, "  %s: %s\n", m.Name, why(err))
				continue
			}
			x := out.(*ledger.BalanceOut).Balances[0]
			fmt.Fprintf(b, "  %s: balance %d, may spend %d", m.Name, x.Balance, x.Available)
			if x.SetAside > 0 {
				fmt.Fprintf(b, ", set aside %d", x.SetAside)
			}
			s.feed(b, n, m)
			b.WriteByte('\n')
		}
	})
}

// views writes what the running honest nodes see, once for all nodes that see the same.
func (s *script) views(write func(*strings.Builder, *kerneltest.Node)) string {
	views := map[string][]string{}
	for _, n := range s.w.Honest() {
		if !n.Up() || n.Outsider {
			continue
		}
		var b strings.Builder
		write(&b, n)
		views[b.String()] = append(views[b.String()], n.Name)
	}
	var out strings.Builder
	for _, v := range slices.SortedFunc(maps.Keys(views), func(a, b string) int { return strings.Compare(views[a][0], views[b][0]) }) {
		fmt.Fprintf(&out, "%s:\n%s", strings.Join(views[v], ", "), v)
	}
	return out.String()
}

// feed describes m's payment feed as n holds it.
func (s *script) feed(b *strings.Builder, n, m *kerneltest.Node) {
	r := n.Read("")
	defer r.Close()
	for _, h := range n.Heads(s.w.Topic()) {
		if h.Device != m.Member().Device() {
			continue
		}
		final, _ := r.Final(h.Tip.Feed)
		fmt.Fprintf(b, "; %d records, final to %d", h.Tip.Seq, final.Seq)
		if h.Fork > 0 {
			fmt.Fprintf(b, ", forked at %d", h.Fork)
		}
		if _, v, _ := r.Record(h.Tip); !v.Accepted {
			fmt.Fprintf(b, ", the last is void")
		}
	}
}

// dated says for each payment feed, as the founder's node holds it, how far ahead its newest record is dated.
func (s *script) dated() string {
	var out strings.Builder
	for _, n := range s.w.Honest() {
		r := n.Read("")
		for _, h := range n.Heads(s.w.Topic()) {
			if h.Device != n.Member().Device() {
				continue
			}
			if rec, _, ok := r.Record(h.Tip); ok {
				ahead := rec.Time.Time().Sub(s.w.Now()) > time.Minute
				fmt.Fprintf(&out, "%s dates its payments ahead: %t\n", n.Name, ahead)
			}
		}
		r.Close()
	}
	return out.String()
}

func (s *script) room() (string, error) {
	var out strings.Builder
	for _, n := range s.w.Honest() {
		l, err := n.Kernel().Load()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%s: %d wait, %d stored\n", n.Name, l.RoomRecords, n.LogEnd())
	}
	return out.String(), nil
}

// epoch says which witness epoch is in force for the running honest nodes.
func (s *script) epoch() string {
	var b strings.Builder
	for _, n := range s.w.Honest() {
		if !n.Up() || n.Outsider {
			continue
		}
		r := n.Read("")
		if sp, ok := fact.Open(r, s.w.Space); ok {
			e, _ := sp.Epoch()
			fmt.Fprintf(&b, "%s: epoch %d, %d witnesses\n", n.Name, e.Number, len(e.Witnesses))
		}
		r.Close()
	}
	return b.String()
}

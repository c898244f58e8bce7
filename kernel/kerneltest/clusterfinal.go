package kerneltest

import (
	"fmt"

	"github.com/intercooperative/icn/kernel/api"
)

// closing is what is final at a place of a feed, by the node that knew first.
type closing struct {
	id       api.Hash
	accepted bool
	by       string
}

// cutOff reports whether a record has no effect because of a cut: its own verdict does not show then.
func cutOff(v api.Verdict) bool {
	return !v.Accepted && v.Reason != nil && v.Reason.Domain == "kernel" && v.Reason.Rule == "cut"
}

// closed checks that what a node announces as final goes beyond what it announced before, on the same branch, and that all on the way is what any
// other node holds final there, with the same verdict.
func (n *Node) closed(p api.Position) error {
	was := n.marks[p.Feed]
	if p.Seq < was.Seq {
		return fmt.Errorf("%s: feed %s was final to %d and is to %d", n.Name, p.Feed.Short(), was.Seq, p.Seq)
	}
	r := n.Read("")
	defer r.Close()
	for at := p; at.Seq > 0; {
		if at.Seq == was.Seq {
			if at.ID != was.ID {
				return fmt.Errorf("%s: final record %v of feed %s is left for %v", n.Name, was, p.Feed.Short(), at)
			}
			break
		}
		rec, v, ok := r.Record(at)
		if !ok {
			return fmt.Errorf("%s: record %v is final and not stored", n.Name, at)
		}
		if err := n.close(at, v); err != nil {
			return err
		}
		at = api.Position{Feed: at.Feed, Seq: at.Seq - 1, ID: rec.Prev}
	}
	n.marks[p.Feed] = p
	return nil
}

// close compares a final record with the book, or enters it.
func (n *Node) close(p api.Position, v api.Verdict) error {
	at, book := place{p.Feed, p.Seq}, &n.c.book
	was, known := book.finals[at]
	switch {
	case !known:
		book.finals[at] = closing{p.ID, v.Accepted, n.Name}
		book.stated = append(book.stated, p)
	case was.id != p.ID:
		return fmt.Errorf("two final records at seq %d of feed %s: %s on %s, and %s on %s", p.Seq, p.Feed.Short(), was.id.Short(), was.by, p.ID.Short(), n.Name)
	case was.accepted != v.Accepted:
		return fmt.Errorf("%s: final record %v is accepted %t, and was %t on %s", n.Name, p, v.Accepted, was.accepted, was.by)
	}
	return nil
}

// checkMarks checks that all is final still that the node has announced as final.
func (n *Node) checkMarks() error {
	r := n.Read("")
	defer r.Close()
	for _, p := range n.marks {
		if _, v, ok := r.Record(p); !ok || !v.Final {
			return fmt.Errorf("%s: record %v was final and is not", n.Name, p)
		}
	}
	return nil
}

// looked is up to where the final records of contested feeds have been looked at on a node.
type looked struct {
	turns  uint64
	stated int
}

// checkContested checks the final records of the feeds that are forked or cut as the node has them, for only there can what is final be lost: all if
// the node has changed since it was last looked at, else those that others have made final meanwhile.
func (n *Node) checkContested() error {
	from, book := n.looked.stated, &n.c.book
	if n.looked.turns != n.turns {
		from = 0
	}
	n.looked = looked{n.turns, len(book.stated)}
	if from == len(book.stated) {
		return nil
	}
	r := n.Read("")
	defer r.Close()
	contested := map[api.Hash]bool{}
	for _, p := range book.stated[from:] {
		is, known := contested[p.Feed]
		if !known {
			is = book.forked[p.Feed] || len(r.Cuts(p.Feed)) > 0
			contested[p.Feed] = is
		}
		if is {
			if err := n.checkFinalIn(r, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFinal checks that a node which holds a record that is final anywhere has the same verdict of it once it is final there.
func (n *Node) checkFinal(p api.Position) error {
	r := n.Read("")
	defer r.Close()
	return n.checkFinalIn(r, p)
}

func (n *Node) checkFinalIn(r api.Reader, p api.Position) error {
	_, v, ok := r.Record(p)
	if !ok {
		return nil
	}
	if v.Final {
		return n.close(p, v)
	}
	if f, ok := r.Final(p.Feed); ok && f.Seq >= p.Seq {
		return fmt.Errorf("%s: record %v was final and is not, although its feed is final up to %d", n.Name, p, f.Seq)
	}
	return nil
}

package api

import (
	"context"
	"strconv"
	"strings"
)

// Wait is how far a write must have got before the caller is answered, as the text of a level: "local", "replicated(k)" or "final".
type Wait string

// The levels; the empty Wait is WaitLocal. For replicated(k) see WaitReplicated.
const (
	WaitLocal Wait = "local" // committed on this node's disk: survives a crash of this node
	WaitFinal Wait = "final" // stated by the space's witnesses: survives a dishonest author
)

// MaxCopies is the greatest k of replicated(k).
const MaxCopies = 64

const replicated = "replicated"

// WaitReplicated is the level of a record that nodes of k different members hold on disk, none of them the author's: it survives the loss of this
// node. Below 1 it is WaitLocal.
func WaitReplicated(k int) Wait {
	if k < 1 {
		return WaitLocal
	}
	return Wait(replicated + "(" + strconv.Itoa(k) + ")")
}

// Copies returns k of replicated(k), from 1 to MaxCopies, and 0 for any other text. "replicated" alone is replicated(1).
func (w Wait) Copies() int {
	rest, ok := strings.CutPrefix(string(w), replicated)
	switch {
	case !ok:
		return 0
	case rest == "":
		return 1
	}
	k, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(rest, "("), ")"))
	if err != nil || k > MaxCopies || WaitReplicated(k) != w {
		return 0
	}
	return k
}

// Validate implements Validator: Invalid for what is no level.
func (w Wait) Validate() error {
	if w == "" || w == WaitLocal || w == WaitFinal || w.Copies() > 0 {
		return nil
	}
	return Errorf("wait", Invalid, "wait %q: want %s, %s(1) to %s(%d), or %s", clip(string(w)), WaitLocal, replicated, replicated, MaxCopies, WaitFinal)
}

// LevelOf returns the highest level that a committed record has reached, given how many other members' nodes are known to hold it. A final record may
// have reached replicated(k) or not: the one does not imply the other.
func LevelOf(final bool, copies int) Wait {
	if final {
		return WaitFinal
	}
	return WaitReplicated(copies)
}

// Receipt says where an appended record stands.
type Receipt struct {
	Position Position  `json:"position"`
	Topic    Topic     `json:"topic"`
	Time     Timestamp `json:"time"`
	Final    bool      `json:"final"`
	Level    Wait      `json:"level"`              // the highest level reached, as far as this node knows
	Holders  []DID     `json:"holders,omitempty"`  // other members whose nodes have said that they hold it on disk
	Repeated bool      `json:"repeated,omitempty"` // the idempotency key had been used: this is the first receipt
}

// LevelHost is a Host that knows how far records have got. Every Host of the kernel is one; a test's may not be.
type LevelHost interface {
	Host
	// Level returns the highest level that a stored record has reached as far as this node knows, which asks nobody for this, and the members other than
	// the author whose nodes have said since this node started that they hold it on disk, in order.
	Level(pos Position) (Wait, []DID)
	// AwaitFinal waits until a stored record is final, or ctx ends. A node that is driven inline does not wait.
	AwaitFinal(ctx context.Context, pos Position)
}

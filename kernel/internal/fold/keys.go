package fold

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/intercooperative/icn/kernel/api"
)

// The first byte of a store key says what the row is. Store format 3; a change here is a new format with a migration.
const (
	nsRecord  = 'R' // feed seq id            -> verdict, reason, envelope
	nsID      = 'I' // id                     -> local number
	nsStatic  = 'S' // feed                   -> topic, device, author: written once
	nsHead    = 'F' // feed                   -> tip, fork, final
	nsTopic   = 'T' // space name 0 feed      -> nothing: the feeds of a topic
	nsRow     = 'A' // feed class key seq id  -> value: what Apply may read
	nsCounter = 'C' // app 0 key              -> int64
	nsIndex   = 'X' // app 0 key              -> value
	nsFinal   = 'N' // feed seq id feed' seq' id'[:8] -> support: position stated final by the record at feed' seq'
	nsCut     = 'K' // feed feed' seq' id'    -> seq id: where the record at feed' seq' cuts the feed
	nsCutter  = 'Y' // feed' seq' id' feed    -> nothing: the same, by who cuts
	nsRebase  = 'B' // feed seq id feed'      -> seq' feed'' seq'' id'': the first record to cite a cut of its feed, and what it stands on
	nsVoid    = 'V' // space name 0 feed seq id -> nothing
	nsLog     = 'L' // local number           -> (feed seq id)+: commit order on this node, from that number on
	nsJournal = 'J' // local number, index    -> changes that a commit made beside its records; index 0: the record had no effect when it came
	nsIdem    = 'D' // device hash(name)      -> content hash, position
	nsMeta    = 'M' // name                   -> value
)

func key(ns byte, parts ...[]byte) []byte {
	n := 1
	for _, p := range parts {
		n += len(p)
	}
	return appendKey(make([]byte, 0, n), ns, parts...)
}

func appendKey(k []byte, ns byte, parts ...[]byte) []byte {
	k = append(k, ns)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func be(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func recordKey(p api.Position) []byte {
	return appendPos(append(make([]byte, 0, 1+positionSize), nsRecord), p)
}

func topicPrefix(ns byte, t api.Topic) []byte {
	return key(ns, t.Space[:], []byte(t.Name), []byte{0})
}

// Row classes: an app's own feed rows, facts by name, and cuts by the feed that they concern, that is cut or that goes on.
const (
	classPut  = 'p'
	classFact = 'f'
	classCut  = 'c'
	classNext = 'n'
)

// rowName is the part of a row key between the feed and the position: a class byte, for facts the fact's name and a zero, then the key,
// escaped so that no name is a prefix of another and order is kept: 0x00 becomes 0x00 0xff, and 0x00 0x01 ends it.
func rowName(dst []byte, class byte, fact string, k []byte) []byte {
	dst = append(slices.Grow(dst, len(fact)+len(k)+4), class)
	if class == classFact {
		dst = append(dst, fact...)
		dst = append(dst, 0)
	}
	dst = escape(dst, k)
	return append(dst, 0, 1)
}

func escape(dst, k []byte) []byte {
	for {
		i := bytes.IndexByte(k, 0)
		if i < 0 {
			return append(dst, k...)
		}
		dst = append(dst, k[:i]...)
		dst = append(dst, 0, 0xff)
		k = k[i+1:]
	}
}

func unescape(k []byte) []byte {
	return bytes.ReplaceAll(k, []byte{0, 0xff}, []byte{0})
}

// rowSuffix is seq and id.
const rowSuffix = 8 + 32

func appendRowKey(k []byte, feed *api.Hash, name []byte, by *Mark) []byte {
	k = appendKey(k, nsRow, feed[:], name)
	k = binary.BigEndian.AppendUint64(k, by.Seq)
	return append(k, by.ID[:]...)
}

// splitRow takes a row key apart.
func splitRow(k []byte) (feed api.Hash, name []byte, seq uint64, id api.Hash) {
	feed = api.Hash(k[1:33])
	name = k[33 : len(k)-rowSuffix]
	seq = binary.BigEndian.Uint64(k[len(k)-rowSuffix:])
	id = api.Hash(k[len(k)-32:])
	return
}

func finalKey(p, by api.Position) []byte {
	return key(nsFinal, p.Feed[:], be(p.Seq), p.ID[:], by.Feed[:], be(by.Seq), by.ID[:8])
}

// upper returns the first key after all keys that start with prefix, nil when there is none.
func upper(prefix []byte) []byte {
	u := bytes.Clone(prefix)
	for i := len(u) - 1; i >= 0; i-- {
		if u[i]++; u[i] != 0 {
			return u[:i+1]
		}
	}
	return nil
}

// positionSize is the length of a position in keys and values.
const positionSize = 32 + 8 + 32

func posValue(p api.Position) []byte { return appendPos(make([]byte, 0, positionSize), p) }

func appendPos(b []byte, p api.Position) []byte {
	b = append(b, p.Feed[:]...)
	b = binary.BigEndian.AppendUint64(b, p.Seq)
	return append(b, p.ID[:]...)
}

func parsePos(b []byte) (api.Position, bool) {
	if len(b) != positionSize {
		return api.Position{}, false
	}
	return api.Position{Feed: api.Hash(b[:32]), Seq: binary.BigEndian.Uint64(b[32:]), ID: api.Hash(b[40:])}, true
}

package fold

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// AppDigest is the hash of one app's state: its counters, index rows, and the feed rows and facts with effect. Two nodes that hold the same
// records have equal digests, however the records came; record ids are not part of it, values are.
type AppDigest struct {
	App    string
	Digest api.Hash
	Rows   int
}

// Digest computes all apps' digests from a snapshot, and one over them. It reads the whole state.
func Digest(r store.Reader, apps *Apps) (api.Hash, []AppDigest, error) {
	sums := make([]AppDigest, len(apps.names))
	hs := make([]hash.Hash, len(apps.names))
	byName := map[string]int{}
	for i, n := range apps.names {
		sums[i].App, hs[i], byName[n] = n, sha256.New(), i
	}
	add := func(i int, parts ...[]byte) {
		var n [8]byte
		for _, p := range parts {
			binary.BigEndian.PutUint64(n[:], uint64(len(p)))
			hs[i].Write(n[:])
			hs[i].Write(p)
		}
		sums[i].Rows++
	}
	for _, ns := range []byte{nsCounter, nsIndex} {
		err := each(r, []byte{ns}, func(k, v []byte) (bool, error) {
			name, rest, _ := bytes.Cut(k[1:], []byte{0})
			if i, ok := byName[string(name)]; ok {
				add(i, []byte{ns}, rest, v)
			}
			return true, nil
		})
		if err != nil {
			return api.Hash{}, nil, err
		}
	}
	v := view{r: r}
	var f *Feed
	var st standing
	err := each(r, []byte{nsRow}, func(k, val []byte) (bool, error) {
		id, name, seq, by := splitRow(k)
		if f == nil || f.ID != id {
			var err error
			if f, err = loadFeed(r, id, nil); err != nil {
				return false, err
			}
			if f == nil {
				return false, api.Errorf("fold.digest", api.Internal, "rows of feed %s without a header", id.Short())
			}
			if st, err = v.stands(f); err != nil {
				return false, err
			}
		}
		on, err := v.hasEffect(f, st, Mark{seq, by})
		if err != nil || !on {
			return err == nil, err
		}
		if o := apps.topics[f.Topic.Name]; o != nil {
			add(byName[o.name], []byte{nsRow}, id[:], name, be(seq), val)
		}
		return true, nil
	})
	if err != nil {
		return api.Hash{}, nil, err
	}
	all := sha256.New()
	for i := range sums {
		sums[i].Digest = api.Hash(hs[i].Sum(nil))
		all.Write([]byte(sums[i].App))
		all.Write(sums[i].Digest[:])
	}
	return api.Hash(all.Sum(nil)), sums, nil
}

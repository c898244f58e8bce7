package kernel

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/blob"
)

// fetcher is the part of a node that fetches blobs, among peers that are functions.
type fetcher struct {
	*blobs
	peers map[api.DID]func(offset uint64) ([]byte, error)
	asked []api.DID
	bad   map[api.DID]string
}

func newFetcher(t *testing.T) *fetcher {
	s, err := blob.Open(blob.Options{Quota: 4 << 20, Each: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	f := &fetcher{peers: map[api.DID]func(uint64) ([]byte, error){}, bad: map[api.DID]string{}}
	f.blobs = &blobs{k: &Kernel{opt: Options{Now: time.Now}}, store: s, missing: map[api.Hash]*missingBlob{}}
	f.ask = func(_ context.Context, node api.DID, question []byte) ([]byte, error) {
		var q blobForm
		if err := codec.Unmarshal(question, &q); err != nil {
			t.Fatal(err)
		}
		if f.asked = append(f.asked, node); len(f.asked) > 100 {
			t.Fatal("it does not end")
		}
		return f.peers[node](q.Offset)
	}
	f.blobs.bad = func(node api.DID, kind, _ string) { f.bad[node] = kind }
	return f
}

func part(size int, b []byte) []byte {
	return codec.MustMarshal(&partForm{Size: uint64(size), Part: b})
}

// honest gives a blob as it is.
func honest(b []byte) func(uint64) ([]byte, error) {
	return func(at uint64) ([]byte, error) {
		return part(len(b), b[at:min(len(b), int(at)+blobPart)]), nil
	}
}

func picture() ([]byte, api.Hash) {
	b := bytes.Repeat([]byte("picture "), 100_000)
	return b, blob.Sum(b)
}

// A blob comes in parts, and an interruption costs what was under way only.
func TestBlobResumes(t *testing.T) {
	f, ctx := newFetcher(t), context.Background()
	b, h := picture()
	gone := true
	f.peers["a"] = func(at uint64) ([]byte, error) {
		if at >= 2*blobPart && gone {
			return nil, api.Errorf("ask", api.Unavailable, "gone")
		}
		return honest(b)(at)
	}
	m := &missingBlob{owner: "did:icn:ann"}
	if err := f.fetchFrom(ctx, []api.DID{"a"}, h, m); api.KindOf(err) != api.Unavailable || len(m.got) != 2*blobPart {
		t.Fatalf("%v, %d bytes", err, len(m.got))
	}
	gone, f.asked = false, nil
	if err := f.fetchFrom(ctx, []api.DID{"a"}, h, m); err != nil || len(f.asked) != 2 {
		t.Errorf("%v after %d questions, want 2", err, len(f.asked))
	}
	if got, err := f.store.Get(h); err != nil || !bytes.Equal(got, b) || len(f.bad) != 0 {
		t.Errorf("%d bytes, %v, blamed %v", len(got), err, f.bad)
	}
}

// Whatever a peer sends in place of a blob, nothing of it is kept, who sent it is to blame, and another peer is asked. It ends.
func TestHostileBlobs(t *testing.T) {
	b, h := picture()
	other := bytes.Repeat([]byte("nothing "), 100_000)
	for name, evil := range map[string]func(uint64) ([]byte, error){
		"other bytes":  honest(other),
		"no form":      func(uint64) ([]byte, error) { return []byte("junk"), nil },
		"endless":      func(uint64) ([]byte, error) { return part(1<<40, make([]byte, blobPart)), nil },
		"empty parts":  func(uint64) ([]byte, error) { return part(len(b), nil), nil },
		"long parts":   func(uint64) ([]byte, error) { return part(10, make([]byte, blobPart)), nil },
		"size changes": func(at uint64) ([]byte, error) { return part(len(b)+int(at), b[at:at+blobPart]), nil },
		"no size":      func(uint64) ([]byte, error) { return part(0, nil), nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFetcher(t)
			f.peers["evil"], f.peers["good"] = evil, honest(b)
			m := &missingBlob{owner: "did:icn:ann"}
			if err := f.fetchFrom(context.Background(), []api.DID{"evil"}, h, m); api.KindOf(err) != api.Invalid || m.got != nil {
				t.Errorf("%v, kept %d bytes", err, len(m.got))
			}
			if n, _ := f.store.Usage(); n != 0 || f.bad["evil"] == "" {
				t.Errorf("%d blobs kept, blamed: %v", n, f.bad)
			}
			if err := f.fetchFrom(context.Background(), []api.DID{"evil", "good"}, h, m); err != nil || f.bad["good"] != "" {
				t.Errorf("%v, blamed: %v", err, f.bad)
			}
		})
	}
}

// Nobody is asked for what there is no room for, nobody is blamed for not having it, and few are asked at a time.
func TestBlobLimits(t *testing.T) {
	f := newFetcher(t)
	none := func(uint64) ([]byte, error) { return nil, api.Errorf("blob", api.NotFound, "none") }
	var nodes []api.DID
	for _, n := range []api.DID{"a", "b", "c", "d", "e", "f"} {
		f.peers[n], nodes = none, append(nodes, n)
	}
	_, h := picture()
	if err := f.fetchFrom(context.Background(), nodes, h, &missingBlob{owner: "did:icn:ann"}); api.KindOf(err) != api.NotFound || len(f.asked) != blobTries || len(f.bad) != 0 {
		t.Errorf("%v after %d questions, blamed %v", err, len(f.asked), f.bad)
	}
	for i := range 4 {
		if _, err := f.store.Put(bytes.Repeat([]byte{byte(i)}, 1<<20), "did:icn:ann", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	f.asked = nil
	if err := f.fetchFrom(context.Background(), nodes, h, &missingBlob{owner: "did:icn:ann"}); api.KindOf(err) != api.TooLarge || len(f.asked) != 0 {
		t.Errorf("%v after %d questions", err, len(f.asked))
	}
	if err := f.fetchFrom(context.Background(), nil, h, &missingBlob{owner: "did:icn:bob"}); err == nil {
		t.Error("no peer, and no error")
	}
}

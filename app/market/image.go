package market

import (
	"iter"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

var _ api.BlobCiter = (*App)(nil)

// Cited implements api.BlobCiter: the images of ads that stand, expired and hidden ones, too. Those of an ad that was withdrawn may be forgotten.
func (a *App) Cited(space api.Hash) iter.Seq2[api.Hash, api.DID] {
	return func(yield func(api.Hash, api.DID) bool) {
		host, err := a.with("market.cited")
		if err != nil {
			return
		}
		type image struct {
			api.Hash
			of api.DID
		}
		var all []image
		s := a.shelf(host, space)
		s.mu.Lock()
		for _, e := range s.ads {
			for _, h := range e.images {
				all = append(all, image{h, e.author})
			}
		}
		s.mu.Unlock()
		slices.SortFunc(all, func(a, b image) int { // of two who name one image always the same has the room that it takes
			if c := a.Compare(b.Hash); c != 0 {
				return c
			}
			return strings.Compare(string(a.of), string(b.of))
		})
		for _, i := range all {
			if !yield(i.Hash, i.of) {
				return
			}
		}
	}
}

// pictured refuses images that this node does not have, or that are none. A Host without blobs, a test's, is not asked.
func (v *view) pictured(op string, images []api.Hash) error {
	h, ok := v.host.(api.BlobHost)
	if !ok {
		return nil
	}
	for _, image := range images {
		switch i, ok := h.Blobs().Stat(image); {
		case !ok:
			return api.Errorf(op, api.Invalid, "image %s: not on this node; bring it first: icnctl blob put, operation blob.put", image.Short())
		case !strings.HasPrefix(i.Type, "image/"):
			return api.Errorf(op, api.Invalid, "image %s: is no JPEG, PNG or WebP", image.Short())
		}
	}
	return nil
}

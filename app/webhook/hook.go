package webhook

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// terms are what a hook was made with.
type terms struct {
	ID      string    `json:"id"`
	Owner   api.DID   `json:"owner"`
	Space   api.Hash  `json:"space"`
	URL     string    `json:"url"`
	Types   []string  `json:"types,omitempty"`
	Scopes  []string  `json:"scopes"` // of its owner when it was made: what it may see
	Secret  []byte    `json:"secret"`
	Created time.Time `json:"created"`
}

// progress is how far a hook has got.
type progress struct {
	Cursor   string    `json:"cursor"`
	Fails    int       `json:"fails,omitempty"`    // in a row
	Since    time.Time `json:"since,omitzero"`     // the first of these
	Next     time.Time `json:"next,omitzero"`      // not before
	Disabled string    `json:"disabled,omitempty"` // why it is switched off; empty: it is on
	Lost     bool      `json:"lost,omitempty"`     // the receiver has to be told that the cursor did not go on
	Tries    []Try     `json:"tries,omitempty"`    // newest last
	Tested   time.Time `json:"tested,omitzero"`    // last
}

// hook is one hook. App.mu guards it; terms do not change.
type hook struct {
	terms
	progress
	news bool // there may be events after the cursor
	busy bool // somebody works on it
	gone bool

	saved time.Time // when the progress was last written down
}

// Try is one attempt to deliver an event.
type Try struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event" doc:"cursor of the event; empty for a test"`
	Type   string    `json:"type"`
	Status int       `json:"status,omitempty" doc:"HTTP status of the answer"`
	Error  string    `json:"error,omitempty" doc:"why there was no answer, or not a good one"`
	Millis int64     `json:"ms" doc:"how long it took"`

	after time.Duration // that the receiver wants to be left alone
}

// keys of the local store.
const (
	keyTerms    = "hook/"
	keyProgress = "at/"
)

// load reads the hooks from the local store. The caller holds mu.
func (a *App) load() error {
	var bad error
	err := a.local.Each(keyTerms, func(_ string, v []byte) bool {
		h := &hook{news: true}
		if bad = json.Unmarshal(v, &h.terms); bad == nil {
			a.hooks[h.ID] = h
		}
		return bad == nil
	})
	if err = cmp.Or(err, bad); err == nil {
		err = a.local.Each(keyProgress, func(key string, v []byte) bool {
			if h := a.hooks[key[len(keyProgress):]]; h != nil {
				bad = json.Unmarshal(v, &h.progress)
			}
			return bad == nil
		})
	}
	return api.Wrap("webhook.start", cmp.Or(err, bad))
}

// keep writes a hook's progress. The caller holds mu.
func (a *App) keep(h *hook) error {
	if h.gone {
		return nil
	}
	h.saved = a.host.Now()
	b, err := json.Marshal(&h.progress)
	if err == nil {
		err = a.local.Put(keyProgress+h.ID, b)
	}
	return api.Wrap("webhook", err)
}

// note remembers an attempt. The caller holds mu.
func (h *hook) note(t Try) {
	t.Error = t.Error[:min(len(t.Error), maxTry)]
	if h.Tries = append(h.Tries, t); len(h.Tries) > keptTries {
		h.Tries = slices.Delete(h.Tries, 0, len(h.Tries)-keptTries)
	}
}

func (a *App) random(n int) ([]byte, error) {
	r := a.opt.Random
	if r == nil {
		r = rand.Reader
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

// wants is the filter of a hook: its space, its types, and what its owner may see.
func (t *terms) wants(scopes map[string]string) func(*api.Event) bool {
	c := api.Call{Scopes: t.Scopes}
	return func(e *api.Event) bool {
		scope, known := scopes[e.Type]
		return e.Space == t.Space && known && fits(t.Types, e.Type) && (c.Can(scope) || c.Can(scope+"@"+t.Space.String()))
	}
}

// fits reports whether a type is among the patterns; none is all.
func fits(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool {
		return p == name || len(p) > 0 && p[len(p)-1] == '*' && len(name) >= len(p)-1 && name[:len(p)-1] == p[:len(p)-1]
	})
}

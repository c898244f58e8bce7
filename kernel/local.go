package kernel

import (
	"sync"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/fold"
)

// Bounds of what an app keeps on this node beside its records.
const (
	maxLocalKeys  = 8192
	maxLocalKey   = 128
	maxLocalValue = 16 << 10
)

// metaLocal starts the names of the values that belong to one app: local/<app>/<key>.
const metaLocal = "local/"

// local implements api.Local beside the committing goroutine: it touches no row of the state.
type local struct {
	k      *Kernel
	prefix string

	mu   sync.Mutex
	keys map[string]struct{} // nil until first needed
}

var _ api.LocalHost = (*host)(nil)

// Local implements api.LocalHost.
func (h *host) Local() api.Local { return h.local }

func newLocal(k *Kernel, app string) *local { return &local{k: k, prefix: metaLocal + app + "/"} }

// EdgeLocal returns the small store of an edge, told from those of apps by its name. It is to be asked for once.
func (k *Kernel) EdgeLocal(edge string) api.Local { return newLocal(k, "edge:"+edge) }

// load learns which keys there are. The caller holds mu.
func (l *local) load() error {
	if l.keys != nil {
		return nil
	}
	keys := map[string]struct{}{}
	err := fold.Metas(l.k.st, l.prefix, func(name string, _ []byte) bool {
		keys[name[len(l.prefix):]] = struct{}{}
		return true
	})
	if err == nil {
		l.keys = keys
	}
	return api.Wrap("local", err)
}

// Put implements api.Local.
func (l *local) Put(key string, value []byte) error {
	if len(key) > maxLocalKey || len(value) > maxLocalValue {
		return api.Errorf("local.put", api.TooLarge, "key of %d bytes, value of %d: at most %d and %d", len(key), len(value), maxLocalKey, maxLocalValue)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	if _, ok := l.keys[key]; !ok && len(l.keys) >= maxLocalKeys {
		return api.Errorf("local.put", api.TooLarge, "more than %d keys", maxLocalKeys)
	}
	if err := l.k.setMeta(l.prefix+key, value, false); err != nil {
		return api.Wrap("local.put", err)
	}
	l.keys[key] = struct{}{}
	return nil
}

// Delete implements api.Local.
func (l *local) Delete(key string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.load(); err != nil {
		return err
	}
	if _, ok := l.keys[key]; !ok {
		return nil
	}
	b := l.k.st.NewBatch()
	defer b.Close()
	fold.DeleteMeta(b, l.prefix+key)
	if err := l.k.st.Commit(b, false); err != nil {
		return api.Wrap("local.delete", err)
	}
	delete(l.keys, key)
	return nil
}

// Each implements api.Local.
func (l *local) Each(prefix string, fn func(key string, value []byte) bool) error {
	return api.Wrap("local.each", fold.Metas(l.k.st, l.prefix+prefix, func(name string, value []byte) bool {
		return fn(name[len(l.prefix):], value)
	}))
}

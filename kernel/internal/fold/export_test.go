package fold

import (
	"bytes"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
)

// Size is what the memory counts.
func (m *Memory) Size() int { return m.size }

// Leaves names all rows of the state that can be proven, each once.
func Leaves(r store.Reader, apps *Apps) (rows []api.StateRow, err error) {
	seen := map[string]bool{}
	err = eachLeaf(r, apps, func(app string, class byte, name, _ []byte, _ uint64, _ api.Hash) {
		row := api.StateRow{App: app, Class: class, Key: bytes.Clone(name)}
		if class == api.FeedRow {
			row.Feed, row.Key = api.Hash(name[:32]), unescape(bytes.Clone(name[33:len(name)-2]))
			if name[32] != classPut {
				return
			}
		}
		if k := leafName(app, class, name); !seen[k] {
			seen[k] = true
			rows = append(rows, row)
		}
	})
	return rows, err
}

package ledger

import (
	"net/http"

	"github.com/intercooperative/icn/kernel/api"
)

// importOperations are those about what comes in from other systems.
func (a *App) importOperations() []api.Operation {
	return []api.Operation{
		api.Handle(api.Operation{
			Name: "ledger.import.file", Method: http.MethodPost, Path: "/ledger/import", CLI: "ledger import", Scope: "ledger:grant", Write: true,
			Signs: api.SignsSeveral, Summary: "Bring in what another system exports as CSV, once; or say first what that would do",
		}, a.importFile),
		api.Handle(api.Operation{
			Name: "ledger.import.undo", Method: http.MethodPost, Path: "/ledger/import/undo", CLI: "ledger import undo", Scope: "ledger:grant", Write: true,
			Signs: api.SignsSeveral, Summary: "Take back what came in with a file",
		}, a.undoFile),
		api.Handle(api.Operation{
			Name: "ledger.import.bind", Method: http.MethodPost, Path: "/ledger/import/bind", CLI: "ledger import bind", Scope: "ledger:grant", Write: true,
			Signs: api.SignsOne, Summary: "Say which member an account of another system belongs to: what it has is theirs then",
		}, a.bindImport),
		a.takeOperation(),
		api.Handle(api.Operation{
			Name: "ledger.import.list", Method: http.MethodGet, Path: "/ledger/import", CLI: "ledger import list", Scope: "ledger:read",
			Summary: "List the files of which something came in",
		}, a.importedFiles),
		api.Handle(api.Operation{
			Name: "ledger.import.accounts", Kind: api.List, Method: http.MethodGet, Path: "/ledger/import/accounts", CLI: "ledger import accounts", Scope: "ledger:read",
			Summary: "List the accounts of other systems, what they have and whose they are",
		}, a.importedAccounts),
		api.Handle(api.Operation{
			Name: "ledger.import.presets", Method: http.MethodGet, Path: "/ledger/import/presets", CLI: "ledger import presets", Scope: "ledger:read",
			Summary: "List the mappings that are there, for the exports of other systems",
		}, a.importPresets),
	}
}

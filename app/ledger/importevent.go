package ledger

import (
	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/kernel/api"
)

// Imported is the data of ledger.imported and ledger.import-undone.
type Imported struct {
	File   api.Hash `json:"file" doc:"digest of the file and of how it was read"`
	Source string   `json:"source" doc:"the system that it comes from"`
	Part   uint64   `json:"part" doc:"of the file, from 0"`
	Moves  int      `json:"moves" doc:"movements, of which ledger.history has each"`
	Reason string   `json:"reason,omitempty" doc:"why it was taken back"`
}

// ImportBound is the data of ledger.import-bound.
type ImportBound struct {
	Account  api.DID `json:"account" doc:"of another system: import: and its code"`
	Owner    api.DID `json:"owner" doc:"the member"`
	Released bool    `json:"released,omitempty" doc:"it is not theirs any more"`
}

// ImportTaken is the data of ledger.import-taken. The member is the author.
type ImportTaken struct {
	Account api.DID      `json:"account" doc:"of another system: import: and its code"`
	Owes    []ImportDebt `json:"owes" doc:"what the member takes over at most"`
}

// importEvents are those about what comes in from other systems.
func importEvents() []api.EventType {
	of := func(name, summary, kind string) api.EventType {
		return api.EventType{Name: "ledger." + name, Scope: "ledger:read", Summary: summary, Topic: fact.PostingsTopic, Kinds: []string{kind}}
	}
	return []api.EventType{
		api.Tell(of("imported", "A part of what another system has exported came in", kindImport), func(_ api.Past, rec *api.Record) *Imported {
			var c imported
			if decode(rec.Body, &c) != nil {
				return nil
			}
			return &Imported{File: c.File, Source: c.Source, Part: c.Part, Moves: len(c.Moves)}
		}),
		api.Tell(of("import-undone", "A part of what another system has exported was taken back", kindImportUndo), func(_ api.Past, rec *api.Record) *Imported {
			var u importUndo
			if decode(rec.Body, &u) != nil {
				return nil
			}
			return &Imported{File: u.File, Source: u.Source, Part: u.Part, Moves: len(u.Moves), Reason: u.Reason}
		}),
		api.Tell(of("import-bound", "An account of another system was given to a member, or released", kindImportBind), func(_ api.Past, rec *api.Record) *ImportBound {
			var b importBind
			if decode(rec.Body, &b) != nil {
				return nil
			}
			return &ImportBound{Account: importAccount(b.Code), Owner: b.Account, Released: b.Release}
		}),
		api.Tell(api.EventType{
			Name: "ledger.import-taken", Scope: "ledger:read", Summary: "A member has taken over an account of another system, with what it owes", Topic: fact.LedgerTopic, Kinds: []string{kindImportTake},
		}, func(_ api.Past, rec *api.Record) *ImportTaken {
			var t importTake
			if decode(rec.Body, &t) != nil {
				return nil
			}
			out := &ImportTaken{Account: importAccount(t.Code), Owes: []ImportDebt{}}
			for _, o := range t.Owes {
				out.Owes = append(out.Owes, ImportDebt{Currency: o.Currency, Amount: o.Amount})
			}
			return out
		}),
	}
}

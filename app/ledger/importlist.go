package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/importer"
	"github.com/intercooperative/icn/kernel/api"
)

// ImportUndoIn is the input of ledger.import.undo.
type ImportUndoIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	File   api.Hash `json:"file" doc:"Digest of the file, as the import and ledger import list show it"`
	Reason string   `json:"reason,omitempty" doc:"One line, which every member can read"`
}

// Validate implements api.Validator.
func (in *ImportUndoIn) Validate() error {
	if in.File.IsZero() {
		return errors.New("file: missing; ledger import list shows it")
	}
	return checkLine("reason", in.Reason)
}

// ImportUndoOut is the output of ledger.import.undo.
type ImportUndoOut struct {
	Parts int         `json:"parts" doc:"that were taken back now"`
	Moves int         `json:"moves" doc:"movements in them"`
	Last  api.Receipt `json:"last,omitzero" doc:"of the last record that was written; none: nothing of the file was in"`
}

// undoFile takes what came in with a file back, the newest part first.
func (a *App) undoFile(ctx context.Context, call *api.Call, in *ImportUndoIn) (*ImportUndoOut, error) {
	const op = "ledger.import.undo"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.grants.Lock()
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, err := asClerk(op, r, s, signer, "takes back what came in from other systems")
	if err != nil {
		return nil, err
	}
	b, _, ok := r.Own(d.from, rowFile(in.File))
	if !ok {
		return nil, api.Errorf(op, api.NotFound, "file %s: nothing came in with it; ledger import list shows what did", in.File)
	}
	file, out := get[importFile](b, ok), &ImportUndoOut{}
	parts, err := partsIn(op, r, &d, in.File, file.Parts)
	if err != nil {
		return nil, err
	}
	w := floors{r: r, desk: &d}
	for i := range parts {
		w.enter(turned(parts[i].Moves))
	}
	if err := refuseLacks(op, "nothing was taken back", true, w.lacks(s)); err != nil {
		return nil, err
	}
	for i, c := range parts {
		body := &importUndo{File: in.File, Source: c.Source, Part: c.Part, Reason: in.Reason, Moves: c.Moves, Owners: owners(r, &d, c.Moves)}
		wait := api.WaitLocal
		if i == len(parts)-1 {
			wait = call.Wait
		}
		if out.Last, err = host.Append(ctx, signer, d.draft(s, kindImportUndo, body, ""), wait); err != nil {
			return nil, api.Wrap(op, err)
		}
		out.Parts++
		out.Moves += len(c.Moves)
		d.deps = nil
	}
	return out, nil
}

// partsIn lists the parts of a file that are in, the newest first.
func partsIn(op string, r api.Reader, d *desk, file api.Hash, n uint64) (parts []imported, err error) {
	for part := n; part > 0; part-- {
		b, at, ok := r.Own(d.from, rowPart(file, part-1))
		if !ok || get[importPart](b, ok).Undone {
			continue
		}
		rec, _, here := r.Record(at)
		var c imported
		if !here || decode(rec.Body, &c) != nil {
			return nil, api.Errorf(op, api.Internal, "the record of part %d of file %s is not on this node", part-1, file)
		}
		parts = append(parts, c)
	}
	return parts, nil
}

// ImportBindIn is the input of ledger.import.bind.
type ImportBindIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Account string   `json:"account" doc:"Account of another system, as ledger import accounts lists them: its code, or import: and its code" example:"NET0012"`
	To      api.DID  `json:"to" doc:"DID of the member whose it is"`
	Release bool     `json:"release,omitempty" doc:"It is not theirs any more: what came in for it goes back"`
}

// Validate implements api.Validator.
func (in *ImportBindIn) Validate() error {
	b := importBind{Code: in.code(), Account: in.To}
	if err := checkDID("to", in.To); err != nil {
		return err
	}
	return b.check()
}

func (in *ImportBindIn) code() string { return strings.TrimPrefix(in.Account, importPrefix) }

// ImportBindOut is the output of ledger.import.bind.
type ImportBindOut struct {
	Receipt api.Receipt `json:"receipt"`
	Passed  []ImportSum `json:"passed" doc:"what the member got by it, now or, when it was bound before, then; below 0: owes"`
}

// ImportSum is an amount of a currency, in minor units.
type ImportSum struct {
	Currency string `json:"currency"`
	Scale    int    `json:"scale"`
	Amount   int64  `json:"amount"`
}

func importSums(s *fact.Space, sums []sum, sign int64) []ImportSum {
	out := []ImportSum{}
	for _, x := range sums {
		c, _ := s.Currency(x.Code)
		out = append(out, ImportSum{Currency: x.Code, Scale: int(c.Scale), Amount: sign * x.Amount})
	}
	return out
}

// bindImport says whose an account of another system is.
func (a *App) bindImport(ctx context.Context, call *api.Call, in *ImportBindIn) (*ImportBindOut, error) {
	const op = "ledger.import.bind"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	a.grants.Lock()
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, err := asClerk(op, r, s, signer, "says whose an account of another system is")
	if err != nil {
		return nil, err
	}
	code := in.code()
	b, _, ok := r.Own(d.from, rowCode(code))
	st := get[importState](b, ok)
	if !ok || code == importer.Clearing {
		return nil, api.Errorf(op, api.NotFound, "account %s: nothing came in for it; ledger import accounts lists the others", clip(in.Account))
	}
	if _, _, member := s.Member(in.To); !member && !in.Release {
		return nil, api.Refusal(op, stranger(s, in.To))
	}
	sign := int64(1)
	if in.Release {
		sign = -1
	}
	if !in.Release {
		owes, at, ok := takenBy(r, s, in.To, code)
		more := raise(slices.Clone(st.Owes), owes)
		if st.Account == in.To && slices.Equal(more, st.Owes) { // a request that is repeated
			_, at, _ := r.Own(d.from, rowOf(in.To, code))
			return &ImportBindOut{Receipt: fact.Repeated(r, at), Passed: importSums(s, st.Sums, 1)}, nil
		}
		if st.Account == "" {
			if err := refuseLacks(op, "nothing was passed on", false, lacksOf(s, code, in.To, st.Sums, more)); err != nil {
				return nil, err
			}
		}
		if ok {
			d.deps = fact.Deps(append(d.deps, at))
		}
	}
	body := &importBind{Code: code, Account: in.To, Release: in.Release}
	rc, err := host.Append(ctx, signer, d.draft(s, kindImportBind, body, call.Idempotency), call.Wait)
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	return &ImportBindOut{Receipt: rc, Passed: importSums(s, st.Sums, sign)}, nil
}

// ImportsIn is the input of ledger.import.list.
type ImportsIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// ImportsOut is the output of ledger.import.list.
type ImportsOut struct {
	Files []ImportedFile `json:"files" doc:"at most 500, in order of their digests"`
}

// ImportedFile is a file of another system of which something came in.
type ImportedFile struct {
	File   api.Hash  `json:"file"`
	Source string    `json:"source"`
	Parts  uint64    `json:"parts" doc:"records"`
	Undone uint64    `json:"undone" doc:"of these, taken back"`
	Moves  uint64    `json:"moves" doc:"movements that are in"`
	Time   time.Time `json:"time" doc:"of the newest record"`
}

func (a *App) importedFiles(_ context.Context, _ *api.Call, in *ImportsIn) (*ImportsOut, error) {
	_, r, s, err := a.see("ledger.import.list", in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &ImportsOut{Files: []ImportedFile{}}
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok {
		return out, nil
	}
	for k, v := range r.Rows(d.from, rowsFiles) {
		if len(out.Files) == importedFiles || len(k) != len(rowsFiles)+len(api.Hash{}) {
			break
		}
		f, file := get[importFile](v, true), api.Hash(k[len(rowsFiles):])
		line := ImportedFile{File: file, Source: f.Source, Parts: f.Parts, Undone: f.Undone, Moves: f.Moves}
		if _, at, ok := r.Own(d.from, k); ok {
			if rec, _, ok := r.Record(at); ok {
				line.Time = rec.Time.Time()
			}
		}
		out.Files = append(out.Files, line)
	}
	return out, nil
}

// ImportAccountsIn is the input of ledger.import.accounts.
type ImportAccountsIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Unbound bool     `json:"unbound,omitempty" doc:"Only those that are nobody's yet"`
	Limit   int      `json:"limit,omitempty" doc:"Accounts of a page, 1 to 500; default 50"`
	Cursor  string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *ImportAccountsIn) Validate() error {
	if in.Cursor != "" && !isImportCode(in.Cursor) {
		return errCursor
	}
	return checkPage(in.Limit)
}

// ImportAccountsOut is the output of ledger.import.accounts.
type ImportAccountsOut struct {
	Accounts []ImportedAccount `json:"accounts"`
	Cursor   string            `json:"cursor,omitempty"` // empty on the last page
}

// ImportedAccount is an account of another system.
type ImportedAccount struct {
	Account api.DID     `json:"account" doc:"import: and the code"`
	Owner   api.DID     `json:"owner,omitempty" doc:"the member whose it is; none: nobody's yet"`
	Sums    []ImportSum `json:"sums" doc:"what came in for it"`
	Taken   []ImportSum `json:"taken" doc:"what its owner has taken over at most"`
}

func (a *App) importedAccounts(_ context.Context, _ *api.Call, in *ImportAccountsIn) (*ImportAccountsOut, error) {
	_, r, s, err := a.see("ledger.import.accounts", in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := &ImportAccountsOut{Accounts: []ImportedAccount{}}
	d, ok := deskOf(r, s, fact.Clerk, fact.PostingsTopic)
	if !ok {
		return out, nil
	}
	last := ""
	for k, v := range r.Rows(d.from, rowsCodes) {
		code, st := string(k[len(rowsCodes):]), get[importState](v, true)
		if code <= in.Cursor || in.Unbound && (st.Account != "" || code == importer.Clearing) {
			continue
		}
		if len(out.Accounts) == page(in.Limit) {
			out.Cursor = last
			break
		}
		last = code
		out.Accounts = append(out.Accounts, ImportedAccount{Account: importAccount(code), Owner: st.Account, Sums: importSums(s, st.Sums, 1), Taken: importSums(s, st.Owes, 1)})
	}
	return out, nil
}

// ImportPresetsIn is the input of ledger.import.presets.
type ImportPresetsIn struct{}

// ImportPresetsOut is the output of ledger.import.presets.
type ImportPresetsOut struct {
	Presets []ImportPreset `json:"presets"`
}

// ImportPreset is a mapping that is there.
type ImportPreset struct {
	Name    string `json:"name"`
	Mapping string `json:"mapping" doc:"in JSON: the beginning of one's own"`
}

func (*App) importPresets(context.Context, *api.Call, *ImportPresetsIn) (*ImportPresetsOut, error) {
	out := &ImportPresetsOut{}
	for _, name := range importer.Presets() {
		m, _ := importer.Preset(name)
		b, err := json.MarshalIndent(m, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("ledger.import.presets: %w", err)
		}
		out.Presets = append(out.Presets, ImportPreset{Name: name, Mapping: string(b)})
	}
	return out, nil
}

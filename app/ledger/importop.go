package ledger

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/app/ledger/importer"
	"github.com/intercooperative/icn/kernel/api"
)

// ImportIn is the input of ledger.import.file.
type ImportIn struct {
	Space    api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Mapping  string   `json:"mapping" doc:"How the file reads: the name of a preset, which ledger import presets lists, or a mapping in JSON" example:"komunitin-transfers"`
	CSV      string   `json:"csv,omitempty" doc:"The file as text in UTF-8; this or gzip. At most 10 MiB and 100,000 rows" example:"code,balance"`
	Gzip     []byte   `json:"gzip,omitempty" doc:"The file compressed with gzip, in base64"`
	Currency string   `json:"currency,omitempty" doc:"Code of the currency of rows that name none; default: that of the mapping, or the only one of the space"`
	Rest     string   `json:"rest,omitempty" doc:"Code of the account that takes what the file does not sum to zero by; without it such a file is refused"`
	DryRun   bool     `json:"dry_run,omitempty" doc:"Say what would happen, and every cell that cannot be read; bring nothing in"`
}

// Validate implements api.Validator.
func (in *ImportIn) Validate() error {
	switch {
	case len(in.CSV) > 0 == (len(in.Gzip) > 0):
		return errors.New("csv: want either csv or gzip")
	case len(in.CSV) > importer.MaxBytes || len(in.Gzip) > importer.MaxBytes:
		return fmt.Errorf("csv: more than %d bytes: make several files of it", importer.MaxBytes)
	case in.Currency != "" && !isCode(in.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 -", clip(in.Currency), maxCode)
	case in.Rest != "" && (!isImportCode(in.Rest) || in.Rest == importer.Clearing):
		return fmt.Errorf("rest %q: want the code of an account, 1 to %d letters, digits and hyphens of ASCII, and not %s", clip(in.Rest), maxImportCode, importer.Clearing)
	}
	_, err := importer.Parse([]byte(in.Mapping))
	return err
}

// file returns the bytes of the file, bounded.
func (in *ImportIn) file() ([]byte, error) {
	if in.CSV != "" {
		return []byte(in.CSV), nil
	}
	z, err := gzip.NewReader(bytes.NewReader(in.Gzip))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(z, importer.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	return b, nil // what is too long is refused where it is read
}

// ImportOut is the output of ledger.import.file. Amounts are minor units.
type ImportOut struct {
	File     api.Hash        `json:"file" doc:"digest of the file and of how it was read: what an undo names"`
	Source   string          `json:"source" doc:"the system that it comes from"`
	Kind     string          `json:"kind" doc:"transfers, entries or balances"`
	Rows     int             `json:"rows" doc:"below the header"`
	Skipped  int             `json:"skipped" doc:"rows that the mapping leaves out, or that move nothing"`
	Before   int             `json:"before" doc:"movements that are in already, by this file or another"`
	New      int             `json:"new" doc:"movements that come in, or came in now"`
	Problems []ImportProblem `json:"problems" doc:"cells that cannot be read, at most 100; as long as there is one nothing comes in"`
	More     int             `json:"more,omitempty" doc:"problems beyond these"`
	Rest     []ImportRest    `json:"rest" doc:"what the file does not sum to zero by"`
	Accounts []ImportChange  `json:"accounts" doc:"what it changes, at most 2000"`
	Left     int             `json:"left,omitempty" doc:"accounts beyond these"`
	Lacks    []ImportLack    `json:"lacks" doc:"accounts that would owe more than the members whose they are have taken over, at most 100; as long as there is one nothing comes in"`
	Last     api.Receipt     `json:"last,omitzero" doc:"of the last record that was written; none: nothing came in now"`
	Parts    int             `json:"parts" doc:"records that it takes or took"`
}

// ImportProblem is a cell that cannot be read.
type ImportProblem struct {
	Row    int    `json:"row" doc:"as a spreadsheet counts, the header being 1"`
	Column string `json:"column,omitempty" doc:"none: the row as a whole"`
	Text   string `json:"text"`
}

// ImportRest is what a file does not sum to zero by in a currency.
type ImportRest struct {
	Currency string `json:"currency"`
	Scale    int    `json:"scale"`
	Amount   int64  `json:"amount" doc:"above 0: accounts have so much more than others owe"`
}

// ImportChange is what an import does to an account.
type ImportChange struct {
	Account  api.DID `json:"account" doc:"import: and the code"`
	Name     string  `json:"name,omitempty" doc:"what the file calls it, where that is not its code"`
	Owner    api.DID `json:"owner,omitempty" doc:"the member whose it is"`
	Currency string  `json:"currency"`
	Scale    int     `json:"scale"`
	Before   int64   `json:"before" doc:"what had come in for it"`
	Change   int64   `json:"change"`
}

const (
	maxChanges    = 2000
	toldProblems  = 20 // in an error
	importedFiles = 500
)

// bringing is an import that is worked out.
type bringing struct {
	out   *ImportOut
	desk  desk
	moves []moved

	stated map[net]bool // accounts of which the file has said what they stand at
}

func (a *App) importFile(ctx context.Context, call *api.Call, in *ImportIn) (*ImportOut, error) {
	const op = "ledger.import.file"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	b, err := in.file()
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	a.grants.Lock() // before reading: parts are numbered, and what is in stays out
	defer a.grants.Unlock()
	host, r, s, err := a.see(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d, err := asClerk(op, r, s, signer, "brings in what other systems export")
	if err != nil {
		return nil, err
	}
	plan, err := in.plan(r, s, d, b)
	if err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	out := plan.out
	if in.DryRun {
		return out, nil
	}
	if err := out.refuse(op); err != nil {
		return nil, err
	}
	file := get[importFile](first(r.Own(d.from, rowFile(out.File))))
	parts := slices.Collect(slices.Chunk(plan.moves, maxMoves))
	for i, part := range parts {
		wait := api.WaitLocal
		if i == len(parts)-1 {
			wait = call.Wait
		}
		body := &imported{File: out.File, Source: out.Source, Part: file.Parts + uint64(i), Moves: part, Owners: owners(r, &d, part)}
		if out.Last, err = host.Append(ctx, signer, d.draft(s, kindImport, body, ""), wait); err != nil {
			if i > 0 {
				err = fmt.Errorf("%d of %d parts are in: run the same import again to go on, or take them back with ledger import undo %s: %w", i, len(parts), out.File, err)
			}
			return nil, api.Wrap(op, err)
		}
		d.deps = nil // the first record has cited what gives the office
	}
	return out, nil
}

// plan reads the file and compares it with what is in.
func (in *ImportIn) plan(r api.Reader, s *fact.Space, d desk, file []byte) (*bringing, error) {
	m, err := importer.Parse([]byte(in.Mapping))
	if err != nil {
		return nil, err
	}
	switch {
	case in.Currency != "":
		m.Currency = in.Currency
	case m.Currency == "" && len(s.Genesis.Currencies) == 1:
		m.Currency = s.Genesis.Currencies[0]
	}
	f, err := importer.Read(bytes.NewReader(file), m, func(code string) (int, bool) {
		c, ok := s.Currency(code)
		return int(c.Scale), ok
	})
	if err != nil {
		return nil, err
	}
	how, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := &ImportOut{
		File: sha256.Sum256(slices.Concat([]byte("icn-import-file\x00"), how, []byte{0}, file)), Source: m.Source, Kind: m.Kind, Rows: f.Rows, Skipped: f.Skipped, More: f.More,
		Problems: []ImportProblem{}, Rest: []ImportRest{}, Accounts: []ImportChange{},
	}
	for _, p := range f.Problems {
		out.Problems = append(out.Problems, ImportProblem(p))
	}
	p := &bringing{out: out, desk: d, stated: map[net]bool{}}
	seen := map[api.Hash]bool{}
	for i := range f.Moves {
		o := &f.Moves[i]
		p.take(r, &moved{From: o.From, To: o.To, Currency: o.Currency, Amount: o.Amount, Day: o.Day, Memo: o.Memo, Category: o.Category, ID: o.ID, N: o.N}, seen)
	}
	for i := range f.Stated {
		if err := p.reach(r, &f.Stated[i], seen); err != nil {
			out.problem(f.Stated[i].Row, err)
		}
	}
	p.level(r, s, in.Rest, seen)
	out.New, out.Parts = len(p.moves), (len(p.moves)+maxMoves-1)/maxMoves
	p.changes(r, s, f.Names)
	w := floors{r: r, desk: &d}
	for part := range slices.Chunk(p.moves, maxMoves) {
		w.enter(part)
	}
	out.Lacks = w.lacks(s)
	return p, nil
}

func (out *ImportOut) problem(row int, err error) {
	if len(out.Problems) == importer.MaxProblems {
		out.More++
		return
	}
	out.Problems = append(out.Problems, ImportProblem{Row: row, Text: err.Error()})
}

// take adds a movement that is not in.
func (p *bringing) take(r api.Reader, m *moved, seen map[api.Hash]bool) bool {
	slot := m.slot(p.out.Source)
	if b, _, ok := r.Own(p.desk.from, rowMoved(slot)); seen[slot] || ok && b[0] == 1 {
		p.out.Before++
		return false
	}
	seen[slot] = true
	p.moves = append(p.moves, *m)
	return true
}

// reach adds what an account lacks to what the file says it stands at.
func (p *bringing) reach(r api.Reader, o *importer.Stated, seen map[api.Hash]bool) error {
	key := net{code: o.Account, currency: o.Currency}
	if p.stated[key] {
		return fmt.Errorf("account %s stands there twice", clip(o.Account))
	}
	p.stated[key] = true
	n := o.Amount - of(stateOf(r, &p.desk, key.code).Sums, o.Currency)
	if n == 0 {
		p.out.Before++
		return nil
	}
	m := &moved{From: importer.Clearing, To: o.Account, Currency: o.Currency, Amount: n, Day: o.Day, Memo: "balance"}
	if n < 0 {
		m.From, m.To, m.Amount = m.To, m.From, -n
	}
	p.addNew(r, m, seen)
	return nil
}

// addNew adds a movement also where one that says the same is in.
func (p *bringing) addNew(r api.Reader, m *moved, seen map[api.Hash]bool) {
	for before := p.out.Before; !p.take(r, m, seen); m.N++ {
		p.out.Before = before
	}
}

func stateOf(r api.Reader, d *desk, code string) importState {
	return get[importState](first(r.Own(d.from, rowCode(code))))
}

// level finds what the clearing account would be left with, and lets another account take it.
func (p *bringing) level(r api.Reader, s *fact.Space, rest string, seen map[api.Hash]bool) {
	sums := slices.Clone(stateOf(r, &p.desk, importer.Clearing).Sums)
	for i := range p.moves {
		m := &p.moves[i]
		if m.To == importer.Clearing {
			sums = with(sums, m.Currency, of(sums, m.Currency)+m.Amount)
		}
		if m.From == importer.Clearing {
			sums = with(sums, m.Currency, of(sums, m.Currency)-m.Amount)
		}
	}
	for _, left := range sums {
		if left.Amount == 0 {
			continue
		}
		c, _ := s.Currency(left.Code)
		p.out.Rest = append(p.out.Rest, ImportRest{Currency: left.Code, Scale: int(c.Scale), Amount: -left.Amount})
		if rest == "" {
			continue
		}
		m := &moved{From: importer.Clearing, To: rest, Currency: left.Code, Amount: left.Amount, Memo: "difference"}
		if left.Amount < 0 {
			m.From, m.To, m.Amount = m.To, m.From, -left.Amount
		}
		p.addNew(r, m, seen)
	}
	if rest != "" {
		p.out.Rest = []ImportRest{}
	}
}

// changes sums up what the movements do, by account.
func (p *bringing) changes(r api.Reader, s *fact.Space, names map[string]string) {
	type key struct{ code, currency string }
	sums := map[key]int64{}
	for i := range p.moves {
		m := &p.moves[i]
		sums[key{m.From, m.Currency}] -= m.Amount
		sums[key{m.To, m.Currency}] += m.Amount
	}
	keys := make([]key, 0, len(sums))
	for k := range sums {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(strings.Compare(a.code, b.code), strings.Compare(a.currency, b.currency))
	})
	for _, k := range keys[:min(len(keys), maxChanges)] {
		st := stateOf(r, &p.desk, k.code)
		c, _ := s.Currency(k.currency)
		p.out.Accounts = append(p.out.Accounts, ImportChange{
			Account: importAccount(k.code), Name: names[k.code], Owner: st.Account, Currency: k.currency, Scale: int(c.Scale), Before: of(st.Sums, k.currency), Change: sums[k],
		})
	}
	p.out.Left = max(0, len(keys)-maxChanges)
}

// refuse says why nothing comes in, if so.
func (out *ImportOut) refuse(op string) error {
	var all []error
	for i, p := range out.Problems {
		if i == toldProblems {
			break
		}
		all = append(all, errors.New(importer.Problem(p).String()))
	}
	if more := len(out.Problems) + out.More - len(all); more > 0 {
		all = append(all, fmt.Errorf("and %d more: a dry run lists them", more))
	}
	if len(all) > 0 {
		return api.Errorf(op, api.Invalid, "nothing came in: %w", errors.Join(all...))
	}
	for _, rest := range out.Rest {
		return api.Errorf(op, api.Invalid, "nothing came in: the file does not sum to zero: in %s accounts have %s more than others owe; correct it, or name the account that takes the difference with rest",
			rest.Currency, decimals(fmt.Sprint(rest.Amount), uint8(rest.Scale)))
	}
	return refuseLacks(op, "nothing came in", true, out.Lacks)
}

// owners lists whose the accounts in movements are.
func owners(r api.Reader, d *desk, moves []moved) []owner {
	var all []owner
	for i := range moves {
		for _, code := range [...]string{moves[i].From, moves[i].To} {
			at, known := slices.BinarySearchFunc(all, code, func(o owner, code string) int { return strings.Compare(o.Code, code) })
			if st := stateOf(r, d, code); st.Account != "" && !known {
				all = slices.Insert(all, at, owner{Code: code, Account: st.Account})
			}
		}
	}
	return all
}

package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// Bounds of what is read of a file that comes in, and of its mapping, in bytes; the node has the same.
const (
	maxForeign = 10 << 20
	maxMapping = 16 << 10
)

func (c *ctl) ledgerImport() *cobra.Command {
	var in client.LedgerImportFileIn
	var mapping string
	cmd := &cobra.Command{
		Use: "import FILE.csv", Short: "Bring in what another system exports: balances and history, once", Args: cobra.ExactArgs(1),
		Long: "Brings in a CSV file of another system: who paid whom, the lines of accounts, or what accounts stand at. --mapping is the name of a preset (icnctl ledger import presets) or a file with a " +
			"mapping in JSON. Look first what would happen, with --dry-run: every cell that cannot be read is named, and as long as there is one nothing comes in. What is in already stays out, so the same file " +
			"or a longer one can come in again. A file that does not sum to zero is refused, or --rest names the account that takes the difference.\n\n" +
			"Accounts are called import:CODE until a member has them: icnctl ledger import bind. Only the clerk does this.",
		Example: "icnctl ledger import transfers.csv --mapping komunitin-transfers --currency hours --dry-run",
	}
	space := spaceFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&mapping, "mapping", "", "a preset, or a file with a mapping")
	f.StringVar(&in.Currency, "currency", "", "code of the currency of rows that name none (default: that of the mapping, or the only one of the space)")
	f.StringVar(&in.Rest, "rest", "", "code of the account that takes what the file does not sum to zero by")
	f.BoolVar(&in.DryRun, "dry-run", false, "say what would happen, and bring nothing in")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Mapping, err = readMapping(mapping); err != nil {
			return err
		}
		if in.Gzip, err = readZipped(cmd, args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.import.file", in, func(o *client.LedgerImportFileOut) { c.showImport(o, in.DryRun) })
	}
	cmd.AddCommand(c.importUndo(), c.importTake(), c.importBind(), c.importList(), c.importAccounts(), c.importPresets())
	return cmd
}

// readMapping returns the name of a preset as it is, and what is in a file.
func readMapping(text string) (string, error) {
	if text == "" {
		return "", api.Errorf("--mapping", api.Invalid, "want the name of a preset, icnctl ledger import presets lists them, or a file")
	}
	f, err := os.Open(text)
	if os.IsNotExist(err) {
		return text, nil
	}
	if err != nil {
		return "", api.Errorf("--mapping", api.Invalid, "%w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxMapping+1))
	switch {
	case err != nil:
		return "", api.Errorf("--mapping", api.Invalid, "%w", err)
	case len(b) > maxMapping:
		return "", api.Errorf("--mapping", api.TooLarge, "%s: more than %d bytes", text, maxMapping)
	}
	return string(b), nil
}

// readZipped reads a file, or the standard input, and compresses it for the way to the node.
func readZipped(cmd *cobra.Command, path string) ([]byte, error) {
	from := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, api.Errorf("FILE.csv", api.Invalid, "%w", err)
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	n, err := io.Copy(z, io.LimitReader(from, maxForeign+1))
	if err == nil {
		err = z.Close()
	}
	switch {
	case err != nil:
		return nil, api.Errorf("FILE.csv", api.Invalid, "%w", err)
	case n > maxForeign:
		return nil, api.Errorf("FILE.csv", api.TooLarge, "%s: more than %d bytes; make several files of it", path, maxForeign)
	}
	return b.Bytes(), nil
}

func (c *ctl) showImport(o *client.LedgerImportFileOut, dry bool) {
	var rows [][]string
	for _, p := range o.Problems {
		rows = append(rows, []string{strconv.Itoa(p.Row), p.Column, p.Text})
	}
	if len(rows) > 0 {
		c.table("", "ROW COLUMN PROBLEM", rows)
	}
	rows = nil
	for _, x := range o.Accounts {
		rows = append(rows, []string{string(x.Account), x.Name, formatAmount(x.Before, x.Scale), formatAmount(x.Change, x.Scale), formatAmount(x.Before+x.Change, x.Scale), x.Currency, string(x.Owner)})
	}
	for _, x := range o.Lacks {
		c.note("%s would owe %s %s, and %s has taken over %s: they can take over more, icnctl ledger import take, and you bind it again.",
			x.Account, formatAmount(x.Owed, x.Scale), x.Currency, x.Owner, formatAmount(x.Taken, x.Scale))
	}
	c.table("Nothing changes.", "ACCOUNT CALLED BEFORE CHANGE AFTER CURRENCY OWNER", rows)
	if o.Left > 0 {
		c.note("And %d accounts more.", o.Left)
	}
	c.facts("file", o.File.String(), "rows", strconv.Itoa(o.Rows), "left out", strconv.Itoa(o.Skipped), "in before", strconv.Itoa(o.Before), "new", strconv.Itoa(o.New))
	for _, r := range o.Rest {
		c.note("The file does not sum to zero: in %s accounts have %s more than others owe. Correct it, or name the account that takes the difference: --rest.", r.Currency, formatAmount(r.Amount, r.Scale))
	}
	if o.More > 0 {
		c.note("And %d problems more.", o.More)
	}
	switch {
	case dry:
		c.note("Nothing came in: this was a dry run.")
	case o.Last.Position.IsZero():
		c.note("Nothing came in now: all of it was in.")
	default:
		c.receipt(o.Last)
	}
}

func (c *ctl) importUndo() *cobra.Command {
	var in client.LedgerImportUndoIn
	cmd := &cobra.Command{
		Use: "undo FILE", Short: "Take back what came in with a file, by its digest", Args: cobra.ExactArgs(1),
		Example: "icnctl ledger import undo <file> --reason 'wrong currency'",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "one line, which every member can read")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.File, err = recordArg("FILE", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.import.undo", in, func(o *client.LedgerImportUndoOut) {
			if o.Parts == 0 {
				c.note("Nothing of the file was in.")
				return
			}
			c.facts("taken back", strconv.Itoa(o.Moves)+" movements", "parts", strconv.Itoa(o.Parts))
			c.receipt(o.Last)
		})
	}
	return cmd
}

func (c *ctl) importBind() *cobra.Command {
	var in client.LedgerImportBindIn
	cmd := &cobra.Command{
		Use: "bind ACCOUNT DID", Short: "Give an account of another system to the member whose it is", Args: cobra.ExactArgs(2),
		Long: "What the account has is the member's then, and what comes in for it later. What it owes is theirs as far as they have taken it over, icnctl ledger import take, which they do first. When they have " +
			"taken over more, bind it again. With --release it is not theirs any more.",
		Example: "icnctl ledger import bind NET0012 did:icn:...",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Release, "release", false, "it is not theirs: take back what the member got by it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Account = args[0]
		if in.To, err = did(args[1]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.import.bind", in, func(o *client.LedgerImportBindOut) {
			for _, x := range o.Passed {
				c.facts("passed on", formatAmount(x.Amount, x.Scale)+" "+x.Currency, "to", string(in.To))
			}
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) importTake() *cobra.Command {
	var in client.LedgerImportTakeIn
	var owes, code string
	cmd := &cobra.Command{
		Use: "take ACCOUNT", Short: "Take over an account of another system that is yours, with what it owes", Args: cobra.ExactArgs(1),
		Long: "Says that an account of another system is yours, with at most what it owes now; nobody else can say that for you. Then the clerk gives it to you, icnctl ledger import bind, and you owe what it does. " +
			"With --owes at most that much, also of what may come in later. What you say last counts, and cannot be relied on to undo what was said before.",
		Example: "icnctl ledger import take NET0012\nicnctl ledger import take NET0012 --owes 12.50 --currency hours",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&owes, "owes", "", "what you take over at most, such as 12.50 (default: what the account owes now)")
	currencyFlag(cmd, &code)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Account = args[0]
		switch {
		case owes != "":
			cur, err := c.currency(cmd, in.Space, code)
			if err != nil {
				return err
			}
			most, err := parseAmount(owes, cur.Scale, cur.Code)
			if err != nil {
				return err
			}
			in.Owes = []client.LedgerImportDebt{{Currency: cur.Code, Amount: most}}
		case code != "":
			return api.Errorf("--currency", api.Invalid, "it goes with --owes; without that all is taken over that the account owes now")
		}
		return write(c, cmd, "ledger.import.take", in, func(o *client.LedgerImportTakeOut) {
			for _, x := range o.Taken {
				c.facts("taken over at most", formatAmount(x.Amount, x.Scale)+" "+x.Currency, "account", in.Account)
			}
			for _, x := range o.Sums {
				c.facts("stands at", formatAmount(x.Amount, x.Scale)+" "+x.Currency)
			}
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) importList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "Show the files of which something came in", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "ledger.import.list", client.LedgerImportListIn{Space: id}, func(o *client.LedgerImportListOut) {
			var rows [][]string
			for _, f := range o.Files {
				rows = append(rows, []string{f.File.String(), f.Source, strconv.FormatUint(f.Moves, 10), strconv.FormatUint(f.Parts, 10), strconv.FormatUint(f.Undone, 10), when(f.Time)})
			}
			c.table("Nothing came in.", "FILE SOURCE MOVEMENTS PARTS TAKEN-BACK LAST", rows)
		})
	}
	return cmd
}

func (c *ctl) importAccounts() *cobra.Command {
	var in client.LedgerImportAccountsIn
	cmd := &cobra.Command{Use: "accounts", Short: "Show the accounts of other systems, what they have and whose they are", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Unbound, "unbound", false, "only those that are nobody's yet")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "ledger.import.accounts", in, func(o *client.LedgerImportAccountsOut) {
			var rows [][]string
			for _, a := range o.Accounts {
				for _, x := range a.Sums {
					taken := ""
					if i := slices.IndexFunc(a.Taken, func(t client.LedgerImportSum) bool { return t.Currency == x.Currency }); i >= 0 {
						taken = formatAmount(a.Taken[i].Amount, x.Scale)
					}
					rows = append(rows, []string{string(a.Account), formatAmount(x.Amount, x.Scale), x.Currency, taken, string(a.Owner)})
				}
			}
			c.table("None.", "ACCOUNT CAME-IN CURRENCY TAKEN-OVER OWNER", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) importPresets() *cobra.Command {
	cmd := &cobra.Command{
		Use: "presets [NAME]", Short: "List the mappings that are there, or print one to begin one's own with", Args: cobra.MaximumNArgs(1),
		Example: "icnctl ledger import presets ces-transactions > my.json",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return read(c, cmd, "ledger.import.presets", struct{}{}, func(o *client.LedgerImportPresetsOut) {
			var rows [][]string
			for _, p := range o.Presets {
				if len(args) == 1 && p.Name == args[0] {
					fmt.Fprintln(c.out, p.Mapping)
					return
				}
				var m struct{ Kind, Date, Unit string }
				_ = json.Unmarshal([]byte(p.Mapping), &m) // what is not there is shown as nothing
				rows = append(rows, []string{p.Name, m.Kind, m.Date, m.Unit})
			}
			c.table("None.", "NAME ROWS DATES AMOUNTS", rows)
		})
	}
	return cmd
}

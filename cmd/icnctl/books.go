package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// period adds the flags of a period; days begin and end where this machine is, if it says where.
func period(cmd *cobra.Command, from, to, zone *string) {
	f, here := cmd.Flags(), os.Getenv("TZ")
	if _, err := time.LoadLocation(here); err != nil || here == "Local" {
		here = "" // a form that says nothing to another machine
	}
	f.StringVar(from, "from", "", "first day, YYYY-MM-DD (default: from the beginning)")
	f.StringVar(to, "to", "", "last day, YYYY-MM-DD (default: today)")
	f.StringVar(zone, "zone", here, "time zone in which days begin and end, such as Europe/Madrid (default: $TZ, else UTC)")
}

func (c *ctl) ledgerStatement() *cobra.Command {
	var in client.LedgerStatementIn
	cmd := &cobra.Command{
		Use: "statement [ACCOUNT]", Short: "State an account over a period: what was there, what moved, what is there", Args: cobra.MaximumNArgs(1),
		Long: "States an account over a period: opening balance, each movement with the balance after it, closing balance, and what each category comes to.\n" +
			"With --all it lists all accounts of the space with what each had, got, gave and has.",
		Example: "icnctl ledger statement --from 2026-11-01 --to 2026-11-30 --zone Europe/Madrid",
	}
	space := spaceFlag(cmd)
	period(cmd, &in.From, &in.To, &in.Zone)
	cmd.Flags().BoolVar(&in.All, "all", false, "all accounts, without their rows")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if len(args) == 1 {
			if in.DID, err = account(args[0]); err != nil {
				return err
			}
		}
		return read(c, cmd, "ledger.statement", in, c.showStatement)
	}
	return cmd
}

func (c *ctl) showStatement(o *client.LedgerStatementOut) {
	zone, err := time.LoadLocation(o.Zone)
	if err != nil {
		zone = time.UTC
	}
	from := "the beginning"
	if !o.From.IsZero() {
		from = o.From.In(zone).Format(time.DateOnly)
	}
	c.note("%s: %s to %s, dates in %s", clean(o.Name), from, o.To.Add(-time.Nanosecond).In(zone).Format(time.DateOnly), zone)
	var rows [][]string
	if o.DID == "" {
		for _, a := range o.Accounts {
			f := func(n int64) string { return formatAmount(n, a.Scale) }
			opening, closing := f(a.Opening), f(a.Closing)
			if a.Gift {
				opening, closing = "-", "-"
			}
			rows = append(rows, []string{orNone(a.Name), string(a.DID), a.Currency, opening, f(a.In), f(a.Out), closing, strconv.FormatUint(a.Count, 10)})
		}
		c.table("No account has anything to show.", "NAME ACCOUNT CURRENCY OPENING IN OUT CLOSING ROWS", rows)
		c.more(o.Cursor)
		return
	}
	for _, a := range o.Accounts {
		if !a.Gift {
			c.note("opening balance %s %s", formatAmount(a.Opening, a.Scale), a.Currency)
		}
	}
	for _, r := range o.Rows {
		state := "final"
		if !r.Final {
			state = "open"
		}
		with := orNone(r.WithName) + " …" + string(r.With[max(0, len(r.With)-8):])
		balance := formatAmount(r.Balance, r.Scale)
		if r.Gift {
			balance = "-"
		}
		rows = append(rows, []string{
			r.Time.In(zone).Format("2006-01-02 15:04"), formatAmount(r.Amount, r.Scale), balance, r.Currency, with, r.Kind + keyedBy(r.KeyedBy), orNone(r.Category), state, r.Memo,
		})
	}
	c.table("Nothing has moved.", "TIME AMOUNT BALANCE CURRENCY WITH KIND CATEGORY STATE MEMO", rows)
	for _, s := range o.Categories {
		c.note("%s: in %s, out %s %s, %d rows", orNone(clean(s.Category)), formatAmount(s.In, s.Scale), formatAmount(s.Out, s.Scale), s.Currency, s.Count)
	}
	for _, a := range o.Accounts {
		if a.Gift {
			c.note("thanked for %s, has thanked others for %s %s", formatAmount(a.In, a.Scale), formatAmount(a.Out, a.Scale), a.Currency)
			continue
		}
		c.note("closing balance %s %s", formatAmount(a.Closing, a.Scale), a.Currency)
	}
	c.more(o.Cursor)
}

func (c *ctl) ledgerExport() *cobra.Command {
	var in client.LedgerExportIn
	var whose string
	cmd := &cobra.Command{
		Use: "export [FILE]", Short: "Write an account, or the whole space, for other programs: csv, beancount, hledger, ofx, pdf", Args: cobra.MaximumNArgs(1),
		Long: "Writes the movements of an account over a period as a file that other programs read, or with --all those of all accounts. What moved has an id that\n" +
			"never changes, so that a program that has seen it can leave it out. Without FILE it is printed. A file is there when all of it is; none is replaced.",
		Example: "icnctl ledger export --format hledger --from 2026-11-01 --to 2026-11-30 november.journal",
	}
	space := spaceFlag(cmd)
	period(cmd, &in.From, &in.To, &in.Zone)
	cmd.Flags().StringVar(&in.Format, "format", "csv", "csv, beancount, hledger, ofx or pdf")
	cmd.Flags().BoolVar(&in.All, "all", false, "all accounts of the space")
	cmd.Flags().StringVar(&whose, "account", "", "a DID, or office:treasury (default: your own)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if whose != "" {
			if in.DID, err = account(whose); err != nil {
				return err
			}
		}
		return c.download(cmd, "ledger.export", in, append(args, "")[0])
	}
	return cmd
}

// download writes the file that an operation answers with to path, whole or not at all, or prints it. Nothing is replaced.
func (c *ctl) download(cmd *cobra.Command, op string, in any, path string) (err error) {
	ctx, cancel := c.context(cmd)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	receive := func(w io.Writer) error {
		return conn.Stream(ctx, op, in, func(raw json.RawMessage) error {
			var part struct {
				Data []byte `json:"data"`
			}
			if err := json.Unmarshal(raw, &part); err != nil {
				return api.Errorf(op, api.Unsupported, "the part does not fit: %w", err)
			}
			_, err := w.Write(part.Data)
			return err
		})
	}
	if path == "" {
		return receive(c.out)
	}
	if _, err := os.Lstat(path); err == nil {
		return api.Errorf(op, api.Conflict, "%s exists: name another file, nothing is replaced", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".icnctl-*") // mode 0600: it tells what somebody has
	if err != nil {
		return api.Errorf(op, api.Invalid, "%w", err)
	}
	defer os.Remove(f.Name())
	err = receive(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil { // unlike a rename, a link replaces nothing
		return api.Errorf(op, api.Unavailable, "%w", err)
	}
	info, err := os.Stat(path)
	if err == nil {
		c.note("%s, %s", path, size(uint64(info.Size())))
	}
	return err
}

package main

import (
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// maxList bounds what is read of a list of payments, in bytes; the node has the same bound.
const maxList = 4 << 20

func (c *ctl) ledgerBatch() *cobra.Command {
	var in client.LedgerBatchIn
	cmd := &cobra.Command{
		Use: "batch FILE.csv", Short: "Pay a list of members, once; or say first what that would do", Args: cobra.ExactArgs(1),
		Long: "Pays each row of a CSV file with the columns to, amount, currency, and if you like memo and category; - reads it from the standard input. Nobody is paid while a row is wrong or the account " +
			"does not reach for all. The payments are made in parts of 64, each of them whole or not at all. The same list is paid once: run again, it goes on where it stopped. To pay the same list again, " +
			"next month say, give it another --name.",
		Example: "icnctl ledger batch wages.csv --name wages-2026-12 --dry-run",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Name, "name", "", "tells the same list apart that is to be paid again")
	cmd.Flags().BoolVar(&in.DryRun, "dry-run", false, "pay nobody, only say what would happen")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.CSV, err = readList(cmd, args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.batch", in, func(o *client.LedgerBatchOut) {
			var rows, sums [][]string
			for i, row := range o.Rows {
				rows = append(rows, []string{strconv.Itoa(i + 1), formatAmount(row.Amount, row.Scale), row.Currency, string(row.To), row.State, row.Why, row.Memo})
			}
			c.table("No rows.", "ROW AMOUNT CURRENCY TO STATE WHY MEMO", rows)
			for _, t := range o.Totals {
				f := func(n int64) string { return formatAmount(n, t.Scale) }
				sums = append(sums, []string{t.Currency, f(t.Total), f(t.Open), f(t.Available), f(t.Left)})
			}
			c.table("Nothing.", "CURRENCY TOTAL NOT-PAID AVAILABLE LEFT-AFTER", sums)
			switch {
			case in.DryRun:
				c.note("Nobody was paid: this was a dry run.")
			case o.Last.Position.IsZero():
				c.note("Nobody was paid now: the whole list was paid before. To pay it again, give it another --name.")
			default:
				c.receipt(o.Last)
			}
		})
	}
	return cmd
}

// readList reads a file, or the standard input.
func readList(cmd *cobra.Command, path string) (string, error) {
	from := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", api.Errorf("FILE.csv", api.Invalid, "%w", err)
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, maxList+1))
	switch {
	case err != nil:
		return "", api.Errorf("FILE.csv", api.Invalid, "%w", err)
	case len(b) > maxList:
		return "", api.Errorf("FILE.csv", api.TooLarge, "%s: more than %d bytes; make several lists of it", path, maxList)
	}
	return string(b), nil
}

package main

import (
	"encoding/csv"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) ledgerReport() *cobra.Command {
	var in client.LedgerReportIn
	var asCSV bool
	cmd := &cobra.Command{
		Use: "report", Short: "Report what members have paid each other, by period and category", Args: cobra.NoArgs,
		Long: "For a funder: hours by month and category, each payment once, less what was given back, with how many have worked and for how many. Nobody is named. " +
			"Dues, levies and what came in from another system are not in it.",
		Example: "icnctl ledger report --from 2026-01-01 --to 2026-12-31 --category care --csv > care-2026.csv",
	}
	space := spaceFlag(cmd)
	period(cmd, &in.From, &in.To, &in.Zone)
	f := cmd.Flags()
	f.StringVar(&in.Every, "every", "month", "day, week, month or year")
	f.StringVar(&in.Currency, "currency", "", "only this currency")
	f.StringVar(&in.Category, "category", "", "only this category")
	f.BoolVar(&asCSV, "csv", false, "as CSV, for a spreadsheet")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		var failed error
		err = read(c, cmd, "ledger.report", in, func(o *client.LedgerReportOut) {
			var rows [][]string
			for _, l := range o.Lines {
				rows = append(rows, []string{
					l.Period, orNone(l.Category), formatAmount(l.Amount, l.Scale), l.Currency, formatAmount(l.Requested, l.Scale), strconv.Itoa(l.Count),
					strconv.Itoa(l.Payees), strconv.Itoa(l.Payers), strconv.Itoa(l.Open),
				})
			}
			if asCSV {
				w := csv.NewWriter(c.out)
				_ = w.Write([]string{"period", "category", "amount", "currency", "requested", "payments", "payees", "payers", "open"}) // w remembers
				failed = w.WriteAll(rows)
				return
			}
			c.table("Nothing was paid.", "PERIOD CATEGORY AMOUNT CURRENCY REQUESTED PAYMENTS PAYEES PAYERS OPEN", rows)
		})
		if err != nil {
			return err
		}
		return failed
	}
	return cmd
}

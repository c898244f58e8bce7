package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// treasuryAccount is the space's own account.
const treasuryAccount = "office:treasury"

// account reads a DID, the name of the space's own account, or that of an escrow or of another system.
func account(text string) (api.DID, error) {
	if text == "treasury" || text == treasuryAccount {
		return treasuryAccount, nil
	}
	if strings.HasPrefix(text, "escrow:") || strings.HasPrefix(text, "import:") {
		return api.DID(text), nil // the node knows which there are
	}
	return did(text)
}

func (c *ctl) ledgerSchedule() *cobra.Command {
	var in client.LedgerScheduleIn
	var exempt string
	cmd := &cobra.Command{
		Use: "schedule NAME CHARGE AMOUNT|RATE%", Short: "Say what accounts are charged by period: dues, levies, demurrage", Args: cobra.ExactArgs(3),
		Long: "Say what accounts are charged by period. CHARGE is dues, an amount of each member when the period begins; or, when it is over, levy-in or levy-out, a share of what an account was " +
			"paid or has paid; or demurrage, a share of what it has above --exempt. The treasury gets it. The clerk's node charges by itself what is due.",
		Example: "icnctl ledger schedule dues dues 1.00 --every month\nicnctl ledger schedule levy levy-out 1.5% --every week\n" +
			"icnctl ledger schedule rust demurrage 2% --exempt 50 --every month --zone Europe/Berlin",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&in.Every, "every", "month", "day, week or month")
	cmd.Flags().StringVar(&exempt, "exempt", "", "demurrage: how much of a balance is not charged for")
	cmd.Flags().StringVar(&in.First, "first", "", "day on which the first period begins, such as 2026-11-01 (default: today)")
	cmd.Flags().StringVar(&in.Last, "last", "", "last day; a period that ends later is not charged")
	cmd.Flags().StringVar(&in.Zone, "zone", "", "time zone of the days, such as Europe/Berlin (default: UTC)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Name, in.Charge, in.Currency = args[0], args[1], cur.Code
		if rate, ok := strings.CutSuffix(args[2], "%"); ok {
			in.Rate, err = parseAmount(rate, 2, "%")
		} else {
			in.Amount, err = parseAmount(args[2], cur.Scale, cur.Code)
		}
		if err == nil && exempt != "" {
			in.Exempt, err = parseAmount(exempt, cur.Scale, cur.Code)
		}
		if err != nil {
			return err
		}
		return write(c, cmd, "ledger.schedule", in, func(o *client.LedgerScheduleOut) {
			c.schedules([]client.LedgerSchedule{o.Schedule})
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) schedules(all []client.LedgerSchedule) {
	var rows [][]string
	for _, s := range all {
		what := formatAmount(s.Amount, s.Scale)
		if s.Rate > 0 {
			what = formatAmount(s.Rate, 2) + " %"
		}
		next := "-"
		if !s.Next.IsZero() {
			next = when(s.Next)
		}
		rows = append(rows, []string{s.Name, s.Charge, what, s.Currency, s.Every, strconv.FormatUint(s.Period, 10), strconv.Itoa(s.Due), next})
	}
	c.table("Nothing is charged.", "NAME CHARGE WHAT CURRENCY EVERY CHARGED-PERIOD DUE NEXT", rows)
	for _, s := range all {
		if s.Waits != "" {
			c.note("%s: %s.", s.Name, s.Waits)
		}
	}
}

func (c *ctl) ledgerSchedules() *cobra.Command {
	cmd := &cobra.Command{Use: "schedules", Short: "Show what accounts are charged, how far that has got, and when next", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "ledger.schedules", client.LedgerSchedulesIn{Space: id}, func(o *client.LedgerSchedulesOut) { c.schedules(o.Schedules) })
	}
	return cmd
}

func (c *ctl) ledgerCharge() *cobra.Command {
	var in client.LedgerChargeIn
	cmd := &cobra.Command{
		Use: "charge SCHEDULE", Short: "Charge accounts for the oldest period that is due, which the clerk's node also does by itself", Args: cobra.ExactArgs(1),
		Example: "icnctl ledger charge dues --dry-run",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.DryRun, "dry-run", false, "say who would be charged what, and charge nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Name = args[0]
		return write(c, cmd, "ledger.charge", in, func(o *client.LedgerChargeOut) {
			var rows [][]string
			for _, x := range o.Charges {
				rows = append(rows, []string{string(x.Account), formatAmount(x.Base, o.Scale), formatAmount(x.Amount, o.Scale), o.Currency})
			}
			c.table("Nothing is due.", "ACCOUNT OF CHARGE CURRENCY", rows)
			if o.Period > 0 {
				c.facts("period", fmt.Sprintf("%d, %s to %s", o.Period, when(o.Start), when(o.End)), "sum", formatAmount(o.Sum, o.Scale)+" "+o.Currency, "left", strconv.Itoa(o.Left))
			}
			for _, rc := range o.Receipts {
				c.receipt(rc)
			}
		})
	}
	return cmd
}

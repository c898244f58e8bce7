package main

import (
	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) ledgerAllot() *cobra.Command {
	var in client.LedgerAllotIn
	cmd := &cobra.Command{
		Use: "allot DEVICE AMOUNT", Short: "Set an amount aside for another of your devices to spend, offline too", Args: cobra.ExactArgs(2),
		Long: "Set an amount aside for another of your devices. This device, the primary one, may spend that much less at once; the other one may spend it as soon as the " +
			"witnesses hold this final and it has seen so, then also without any network. Whoever has that device can spend no more than what was set aside.",
		Example: "icnctl ledger allot 8c1f... 40 --currency hours",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Device, err = key(args[0]); err != nil {
			return err
		}
		cur, n, err := c.amount(cmd, in.Space, in.Currency, args[1])
		if err != nil {
			return err
		}
		in.Currency, in.Amount = cur.Code, n
		return write(c, cmd, "ledger.allot", in, func(o *client.LedgerAllotOut) {
			c.facts("set aside", formatAmount(in.Amount, cur.Scale)+" "+cur.Code, "for", in.Device.String(), "available", formatAmount(o.Available, cur.Scale)+" "+cur.Code)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) ledgerReturn() *cobra.Command {
	var in client.LedgerReturnIn
	cmd := &cobra.Command{
		Use: "return", Short: "Give back what is left of what was set aside for this device", Args: cobra.NoArgs,
		Example: "icnctl ledger return --currency hours",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency = cur.Code
		return write(c, cmd, "ledger.return", in, func(o *client.LedgerReturnOut) {
			c.facts("given back", formatAmount(o.Amount, cur.Scale)+" "+cur.Code)
			c.receipt(o.Receipt)
			c.note("Your primary device counts it with its next record, once this is final.")
		})
	}
	return cmd
}

func (c *ctl) ledgerAllotments() *cobra.Command {
	cmd := &cobra.Command{Use: "allotments [DID]", Short: "Show what is set aside for other devices, and what is left of it", Args: cobra.MaximumNArgs(1)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var in client.LedgerAllotmentsIn
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.allotments", in, func(o *client.LedgerAllotmentsOut) {
			c.allotments(o.Allotments)
			c.note("The primary device is %s.", o.Primary)
		})
	}
	return cmd
}

// allotments shows what is set aside.
func (c *ctl) allotments(all []client.LedgerAllotment) {
	var rows [][]string
	for _, a := range all {
		f := func(n int64) string { return formatAmount(n, a.Scale) }
		rows = append(rows, []string{a.Device.String(), a.Currency, f(a.Given), f(a.Spent), f(a.Returned), f(a.Left)})
	}
	c.table("Nothing is set aside.", "DEVICE CURRENCY GIVEN SPENT RETURNED LEFT", rows)
}

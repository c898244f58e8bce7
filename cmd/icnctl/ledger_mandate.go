package main

import (
	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) ledgerMandate() *cobra.Command {
	var in client.LedgerMandateIn
	cmd := &cobra.Command{
		Use: "mandate DEVICE HELPER AMOUNT", Short: "Let a helper pay for you with another device of yours, so much in a period", Args: cobra.ExactArgs(3),
		Long: "The helper, a relative or a steward, holds DEVICE, which is a device of yours (icnctl id device), and pays with it what is set aside for it (icnctl ledger allot), no more than AMOUNT in a period. " +
			"What the helper enters is shown as keyed by them, in your history, statements and books. An AMOUNT of 0 ends it. Give the mandate before you set anything aside.",
		Example: "icnctl ledger mandate 8c1f... did:icn:... 20 --every month --last 2027-05-31 --consent 'on paper, 2026-11-02, folder 3'",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	f := cmd.Flags()
	f.StringVar(&in.Every, "every", "month", "day, week or month, by UTC")
	f.StringVar(&in.Last, "last", "", "the last day, such as 2027-05-31 (default: until you end it)")
	f.StringVar(&in.Consent, "consent", "", "how the member has agreed, if not by this record alone, one line")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Device, err = key(args[0]); err != nil {
			return err
		}
		if in.Helper, err = did(args[1]); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency = cur.Code
		if args[2] != "0" {
			if in.Amount, err = parseAmount(args[2], cur.Scale, cur.Code); err != nil {
				return err
			}
		}
		return write(c, cmd, "ledger.mandate", in, func(o *client.LedgerMandateOut) {
			c.facts("helper", string(in.Helper), "pays", formatAmount(in.Amount, cur.Scale)+" "+cur.Code+" every "+in.Every)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) ledgerMandates() *cobra.Command {
	var in client.LedgerMandatesIn
	cmd := &cobra.Command{Use: "mandates [DID]", Short: "Show who may pay for a member, and how much of it is left", Args: cobra.MaximumNArgs(1)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.mandates", in, func(o *client.LedgerMandatesOut) {
			var rows [][]string
			for _, m := range o.Mandates {
				state := "waits for the device"
				switch {
				case m.Over && m.Known:
					state = "ended"
				case m.Known:
					state = "in force"
				}
				rows = append(rows, []string{
					string(m.Helper), m.Device.String(), formatAmount(m.Amount, m.Scale), m.Currency, m.Every, formatAmount(m.Spent, m.Scale), m.Last, state, m.Consent,
				})
			}
			c.table("Nobody.", "HELPER DEVICE AMOUNT CURRENCY EVERY PAID LAST STATE CONSENT", rows)
		})
	}
	return cmd
}

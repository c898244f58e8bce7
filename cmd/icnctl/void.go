package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) ledgerVoid() *cobra.Command {
	var in client.LedgerVoidIn
	cmd := &cobra.Command{Use: "void", Short: "List records that a rule made void, or with --own all your payments without effect, and why", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Own, "own", false, "only your payments, also those that a cut has left out or a fork holds, and what to do")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "ledger.void", in, func(o *client.LedgerVoidOut) {
			if in.Own {
				c.ownVoids(o.Entries)
				return
			}
			var rows [][]string
			for _, e := range o.Entries {
				why := ""
				if e.Reason != nil {
					why = fmt.Sprintf("%s (%s)", e.Reason.Text, e.Reason.Rule)
				}
				rows = append(rows, []string{when(e.Time), e.ID.String(), string(e.Author), why})
			}
			c.table("No void records.", "TIME RECORD AUTHOR WHY", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

// ownVoids shows payments that have no effect, one after the other: what to do is a sentence.
func (c *ctl) ownVoids(all []client.LedgerVoid) {
	if len(all) == 0 {
		c.note("All your payments count.")
	}
	for _, e := range all {
		c.facts("payment", e.ID.String(), "state", verdict(e.Held, e.Held, false), "time", when(e.Time), "amount", formatAmount(e.Amount, e.Scale)+" "+e.Currency,
			"to", string(e.To))
		if e.Memo != "" {
			c.facts("memo", e.Memo)
		}
		if e.Reason != nil {
			c.why(e.Reason)
		}
	}
}

func (c *ctl) ledgerRetry() *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry PAYMENT", Short: "Make a payment of your own that has no effect again, once", Args: cobra.ExactArgs(1),
		Long: "Pays the same amount to the same member, with the same memo, in place of a payment that a rule or a cut has left without effect: icnctl ledger void --own lists such. " +
			"It is refused as long as the payment could still count. Repeated, it pays once and names the payment that the first retry made; it needs no --idempotency-key.",
		Example: "icnctl ledger retry 3f0c...",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var in client.LedgerRetryIn
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.ID, err = api.ParseHash(args[0]); err != nil {
			return api.Errorf("PAYMENT", api.Invalid, "%w", err)
		}
		return write(c, cmd, "ledger.retry", in, func(o *client.LedgerRetryOut) {
			did := "paid"
			if o.Receipt.Repeated {
				did = "paid before"
			}
			c.facts(append([]string{did, formatAmount(o.Amount, o.Scale) + " " + o.Currency, "to", string(o.To), "instead of", o.Of.String()},
				hasNow(o.Gift, o.Balance, o.Available, o.Scale, o.Currency)...)...)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

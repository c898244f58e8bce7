package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) ledgerOrder() *cobra.Command {
	return group("order", "Standing orders: rent, dues and what else is paid at regular times", c.orderNew(), c.orderList(), c.orderPay(), c.orderEnd())
}

func (c *ctl) orderNew() *cobra.Command {
	var in client.LedgerOrderNewIn
	cmd := &cobra.Command{
		Use: "new DID AMOUNT", Short: "Pay a member at regular times", Args: cobra.ExactArgs(2),
		Long: "Your node pays when a period begins, once in each, as long as it runs: what it has missed it pays when it is back, at most 12 periods. A payment that is refused is tried again for some days; " +
			"icnctl ledger order list shows what is due and why it is not paid.",
		Example: "icnctl ledger order new did:icn:... 40 --every 1 --unit months --first 2026-12-31 --memo rent --category rent --zone Europe/Vienna",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	f := cmd.Flags()
	f.StringVar(&in.Memo, "memo", "", "what it is for, one line; every member can read it")
	f.StringVar(&in.Category, "category", "", "for your books: a-z 0-9 -")
	f.IntVar(&in.Every, "every", 1, "units in a period")
	f.StringVar(&in.Unit, "unit", "months", "days, weeks or months")
	f.StringVar(&in.First, "first", "", "the day of the first payment, such as 2026-12-31 (default: today)")
	f.StringVar(&in.Last, "last", "", "no payment after this day")
	f.IntVar(&in.Count, "count", 0, "so many payments at most")
	f.StringVar(&in.Zone, "zone", "", "time zone in which days begin, such as Europe/Vienna (default: UTC)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.To, err = did(args[0]); err != nil {
			return err
		}
		cur, n, err := c.amount(cmd, in.Space, in.Currency, args[1])
		if err != nil {
			return err
		}
		in.Currency, in.Amount = cur.Code, n
		if in.First == "" {
			in.First = time.Now().UTC().Format(time.DateOnly)
		}
		return write(c, cmd, "ledger.order.new", in, func(o *client.LedgerOrderNewOut) {
			c.facts("order", o.Receipt.Position.ID.String(), "pays", formatAmount(in.Amount, cur.Scale)+" "+cur.Code, "to", string(in.To),
				"every", strconv.Itoa(in.Every)+" "+in.Unit, "from", in.First)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) orderList() *cobra.Command {
	var in client.LedgerOrdersIn
	cmd := &cobra.Command{Use: "list [DID]", Short: "List standing orders: what is paid, what is due, and why it is not paid", Args: cobra.MaximumNArgs(1)}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.State, "state", "", "only those that are active, done or ended")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.orders", in, func(o *client.LedgerOrdersOut) {
			var rows, due [][]string
			for _, s := range o.Orders {
				next := ""
				if !s.Next.IsZero() {
					next = when(s.Next)
				}
				rows = append(rows, []string{
					formatAmount(s.Amount, s.Scale), s.Currency, string(s.To), strconv.Itoa(s.Every) + " " + s.Unit, s.State, strconv.Itoa(s.Paid), next, s.ID.String(), s.Memo,
				})
				for _, d := range s.Due {
					due = append(due, []string{s.ID.Short(), strconv.Itoa(d.Period), when(d.Since), dueState(d), d.Why})
				}
			}
			c.table("No standing orders.", "AMOUNT CURRENCY TO EVERY STATE PAID NEXT ORDER MEMO", rows)
			if len(due) > 0 {
				c.table("", "ORDER PERIOD DUE-SINCE STATE WHY", due)
			}
		})
	}
	return cmd
}

// dueState says what becomes of a payment that is due.
func dueState(d client.LedgerDue) string {
	switch {
	case d.Missed:
		return "missed: pay it by hand"
	case d.GivenUp:
		return "given up: pay it by hand"
	case d.Tries > 0:
		return "refused, next try " + when(d.Next)
	}
	return "due"
}

func (c *ctl) orderPay() *cobra.Command {
	var in client.LedgerOrderPayIn
	cmd := &cobra.Command{
		Use: "pay ORDER", Short: "Pay what is due of a standing order of yours, once", Args: cobra.ExactArgs(1),
		Example: "icnctl ledger order pay 3f0c... --period 4",
	}
	space := spaceFlag(cmd)
	cmd.Flags().IntVar(&in.Period, "period", 0, "which period, from 1 (default: the oldest that is due)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "ORDER", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.order.pay", in, func(o *client.LedgerOrderPayOut) {
			did := "paid"
			if o.Receipt.Repeated {
				did = "paid before"
			}
			c.facts(append([]string{did, formatAmount(o.Amount, o.Scale) + " " + o.Currency, "to", string(o.To), "period", strconv.Itoa(o.Period)},
				hasNow(o.Gift, o.Balance, o.Available, o.Scale, o.Currency)...)...)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) orderEnd() *cobra.Command {
	var in client.LedgerOrderEndIn
	cmd := &cobra.Command{Use: "end ORDER", Short: "End a standing order of yours", Args: cobra.ExactArgs(1), Example: "icnctl ledger order end 3f0c..."}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "ORDER", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.order.end", in, func(o *client.LedgerOrderEndOut) {
			c.facts("order", o.Order.ID.String(), "state", o.Order.State, "paid", strconv.Itoa(o.Order.Paid))
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

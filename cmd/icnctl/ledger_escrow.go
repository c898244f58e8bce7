package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) ledgerEscrow() *cobra.Command {
	return group("escrow", "Escrow: what is paid when you say so, and comes back when it is refused",
		c.escrowNew(), c.escrowRelease(), c.escrowGiveback(), c.escrowAward(), c.escrowList(), c.escrowShow())
}

// deposit shows an escrow.
func (c *ctl) deposit(e client.LedgerEscrow) {
	amount := func(n int64) string { return formatAmount(n, e.Scale) + " " + e.Currency }
	facts := []string{"escrow", e.ID.String(), "state", e.State, "amount", amount(e.Amount), "payer", string(e.Payer), "payee", string(e.Payee)}
	if e.Arbiter != "" {
		facts = append(facts, "arbiter", string(e.Arbiter))
	}
	if e.Memo != "" {
		facts = append(facts, "memo", e.Memo)
	}
	facts = append(facts, "date", when(e.Expires), "then to", e.Then)
	if e.Released > 0 {
		facts = append(facts, "released", amount(e.Released))
	}
	if e.Back > 0 {
		facts = append(facts, "given back", amount(e.Back))
	}
	if e.Award != nil {
		facts = append(facts, "awarded", amount(*e.Award))
	}
	if s := e.Settlement; s != nil {
		facts = append(facts, "settled", s.Why, "paid", amount(s.Paid), "back", amount(s.Back), "by", s.ID.String())
	}
	c.facts(facts...)
}

func (c *ctl) escrowNew() *cobra.Command {
	var in client.LedgerEscrowNewIn
	var expires, arbiter string
	var days int
	cmd := &cobra.Command{
		Use: "new DID AMOUNT", Short: "Put an amount in escrow for a member", Args: cobra.ExactArgs(2),
		Long: "Puts an amount in escrow: it leaves your account at once and reaches the member when you release it. The member can give it back. With --arbiter a third member can say how " +
			"much goes to whom. At the date what is not decided goes back to you, or with --then payee to the member. The clerk's node pays it out, as was said and not otherwise.",
		Example: "icnctl ledger escrow new did:icn:... 40 --memo \"a boat\" --days 30\nicnctl ledger escrow new did:icn:... 40 --arbiter did:icn:... --expires 2026-12-24 --then payee",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&arbiter, "arbiter", "", "DID of a member who may say how much goes to whom")
	cmd.Flags().StringVar(&expires, "expires", "", "a day or time when what is not decided goes one way")
	cmd.Flags().IntVar(&days, "days", 30, "so many days from now, where --expires is not given")
	cmd.Flags().StringVar(&in.Then, "then", "", "who gets it then: payer or payee (default payer)")
	cmd.Flags().StringVar(&in.Memo, "memo", "", "what it is for, one line; every member can read it")
	cmd.Flags().StringVar(&in.Category, "category", "", "for your books: a-z 0-9 -")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Payee, err = did(args[0]); err != nil {
			return err
		}
		if arbiter != "" {
			if in.Arbiter, err = did(arbiter); err != nil {
				return err
			}
		}
		if in.Expires, err = moment("--expires", expires); err != nil {
			return err
		}
		if in.Expires.IsZero() {
			in.Expires = time.Now().AddDate(0, 0, days).Truncate(time.Second)
		}
		cur, n, err := c.amount(cmd, in.Space, in.Currency, args[1])
		if err != nil {
			return err
		}
		in.Currency, in.Amount = cur.Code, n
		return write(c, cmd, "ledger.escrow.new", in, func(o *client.LedgerEscrowNewOut) {
			c.deposit(o.Escrow)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

// amountOf reads the amount of an escrow, in its currency; an empty text is nothing.
func (c *ctl) amountOf(cmd *cobra.Command, in client.LedgerEscrowShowIn, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	ctx, cancel := c.context(cmd)
	defer cancel()
	_, o, err := ask[client.LedgerEscrowShowOut](ctx, c, "ledger.escrow.show", in)
	if err != nil {
		return 0, err
	}
	return parseAmount(text, o.Escrow.Scale, o.Escrow.Currency)
}

func (c *ctl) escrowRelease() *cobra.Command {
	var in client.LedgerEscrowReleaseIn
	var amount string
	cmd := &cobra.Command{
		Use: "release ESCROW", Short: "Release what you have put in escrow, wholly or in part", Args: cobra.ExactArgs(1),
		Long:    "Releases an escrow of yours to the member for whom it is. With --amount a part, counted in all: who has released 10 and releases 15 has released 15.",
		Example: "icnctl ledger escrow release 3f0c... --amount 15",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&amount, "amount", "", "how much, in all (default: all of it)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "ESCROW", args[0]); err != nil {
			return err
		}
		if in.Amount, err = c.amountOf(cmd, client.LedgerEscrowShowIn{Space: in.Space, ID: in.ID}, amount); err != nil {
			return err
		}
		return write(c, cmd, "ledger.escrow.release", in, func(o *client.LedgerEscrowReleaseOut) {
			c.deposit(o.Escrow)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) escrowGiveback() *cobra.Command {
	var in client.LedgerEscrowGivebackIn
	var amount string
	cmd := &cobra.Command{
		Use: "giveback ESCROW", Short: "Give back what is in escrow for you, wholly or in part", Args: cobra.ExactArgs(1),
		Long:    "Gives an escrow that is for you back to who has put it there. With --amount a part, counted in all.",
		Example: "icnctl ledger escrow giveback 3f0c...",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&amount, "amount", "", "how much, in all (default: all of it)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "ESCROW", args[0]); err != nil {
			return err
		}
		if in.Amount, err = c.amountOf(cmd, client.LedgerEscrowShowIn{Space: in.Space, ID: in.ID}, amount); err != nil {
			return err
		}
		return write(c, cmd, "ledger.escrow.giveback", in, func(o *client.LedgerEscrowGivebackOut) {
			c.deposit(o.Escrow)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) escrowAward() *cobra.Command {
	var in client.LedgerEscrowAwardIn
	cmd := &cobra.Command{
		Use: "award ESCROW AMOUNT", Short: "Say, as its arbiter, how much of an escrow its payee gets", Args: cobra.ExactArgs(2),
		Long:    "Says how much of an escrow goes to the member for whom it is; the rest goes back. Only the arbiter whom its payer has named can, and once.",
		Example: "icnctl ledger escrow award 3f0c... 25 --reason \"half of it was done\"",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, one line; every member can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "ESCROW", args[0]); err != nil {
			return err
		}
		if in.Amount, err = c.amountOf(cmd, client.LedgerEscrowShowIn{Space: in.Space, ID: in.ID}, args[1]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.escrow.award", in, func(o *client.LedgerEscrowAwardOut) {
			c.deposit(o.Escrow)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) escrowList() *cobra.Command {
	var in client.LedgerEscrowListIn
	cmd := &cobra.Command{
		Use: "list [DID]", Short: "List escrows, newest first, and what has become of them", Args: cobra.MaximumNArgs(1),
		Example: "icnctl ledger escrow list --state open",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.State, "state", "", "only those that are open, expired, decided or settled")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.escrow.list", in, func(o *client.LedgerEscrowListOut) {
			var rows [][]string
			for _, e := range o.Escrows {
				state := e.State
				if e.Settlement != nil {
					state += ": " + e.Settlement.Why + ", " + formatAmount(e.Settlement.Paid, e.Scale) + " paid"
				}
				rows = append(rows, []string{
					when(e.Time), formatAmount(e.Amount, e.Scale), e.Currency, string(e.Payer), string(e.Payee), when(e.Expires), state, e.ID.String(), e.Memo,
				})
			}
			c.table("No escrows.", "TIME AMOUNT CURRENCY PAYER PAYEE DATE STATE ESCROW MEMO", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) escrowShow() *cobra.Command {
	var in client.LedgerEscrowShowIn
	cmd := &cobra.Command{
		Use: "show ESCROW", Short: "Show an escrow and what has become of it", Args: cobra.ExactArgs(1), Example: "icnctl ledger escrow show 3f0c...",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "ESCROW", args[0]); err != nil {
			return err
		}
		return read(c, cmd, "ledger.escrow.show", in, func(o *client.LedgerEscrowShowOut) { c.deposit(o.Escrow) })
	}
	return cmd
}

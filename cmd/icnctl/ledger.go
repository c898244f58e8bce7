package main

import (
	"errors"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) ledgerCmd() *cobra.Command {
	return group("ledger", "Mutual credit: paying, and what is there",
		c.ledgerTransfer(), c.ledgerBalance(), c.ledgerHistory(), c.ledgerRequest(), c.ledgerRequests(), c.ledgerApprove(), c.ledgerDecline(), c.ledgerCancel(),
		c.ledgerEscrow(), c.ledgerDispute(),
		c.ledgerReverse(), c.ledgerBatch(), c.ledgerOrder(), c.ledgerURI(), c.ledgerAllot(), c.ledgerReturn(), c.ledgerAllotments(), c.ledgerGrant(), c.ledgerFreeze(), c.ledgerFreezes(),
		c.ledgerStatement(), c.ledgerExport(), c.ledgerReceipt(), c.ledgerVerify(), c.ledgerVoid(), c.ledgerRetry(), c.ledgerSchedule(), c.ledgerSchedules(), c.ledgerCharge(),
		c.ledgerImport(), c.ledgerMandate(), c.ledgerMandates(), c.ledgerReport(), c.ledgerPolicy(), c.ledgerLimit(), c.ledgerLimits(), c.ledgerGrants(), c.ledgerRegrade(),
		c.ledgerRehearse())
}

// currency finds the currency that a command means, for its decimals.
func (c *ctl) currency(cmd *cobra.Command, space api.Hash, code string) (client.MembershipCurrency, error) {
	ctx, cancel := c.context(cmd)
	defer cancel()
	_, s, err := ask[client.SpaceShowOut](ctx, c, "space.show", client.SpaceShowIn{Space: space})
	if err != nil {
		return client.MembershipCurrency{}, err
	}
	return pickCurrency(s, code)
}

// amount reads an amount of the currency that a command means.
func (c *ctl) amount(cmd *cobra.Command, space api.Hash, code, text string) (client.MembershipCurrency, int64, error) {
	cur, err := c.currency(cmd, space, code)
	if err != nil {
		return cur, 0, err
	}
	n, err := parseAmount(text, cur.Scale, cur.Code)
	return cur, n, err
}

func (c *ctl) ledgerTransfer() *cobra.Command {
	var in client.LedgerTransferIn
	cmd := &cobra.Command{
		Use: "transfer DID|treasury AMOUNT", Short: "Pay a member", Args: cobra.ExactArgs(2),
		Example: "icnctl ledger transfer did:icn:... 12.50 --currency hours --memo \"bicycle repair\"",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&in.Memo, "memo", "", "what it is for, one line; every member can read it")
	cmd.Flags().StringVar(&in.Category, "category", "", "for your books: a-z 0-9 -")
	cmd.Flags().StringVar(&in.For, "for", "", "request:ID or refund:ID, what it pays, once; see approve and reverse")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.To, err = account(args[0]); err != nil {
			return err
		}
		cur, n, err := c.amount(cmd, in.Space, in.Currency, args[1])
		if err != nil {
			return err
		}
		in.Currency, in.Amount = cur.Code, n
		return write(c, cmd, "ledger.transfer", in, func(o *client.LedgerTransferOut) {
			c.facts(append([]string{"paid", formatAmount(in.Amount, cur.Scale) + " " + cur.Code, "to", string(in.To)},
				hasNow(o.Gift, o.Balance, o.Available, cur.Scale, cur.Code)...)...)
			c.receipt(o.Receipt)
			if o.Warning != "" {
				c.note("Mind: %s.", o.Warning)
			}
		})
	}
	return cmd
}

// hasNow says what an account has after a payment. For gifts there is nothing to say.
func hasNow(gift bool, balance, available int64, scale int, code string) []string {
	if gift {
		return nil
	}
	return []string{"balance", formatAmount(balance, scale) + " " + code, "available", formatAmount(available, scale) + " " + code}
}

func (c *ctl) ledgerBalance() *cobra.Command {
	cmd := &cobra.Command{Use: "balance [DID|treasury]", Short: "Show what is there, what is final and what may be spent", Args: cobra.MaximumNArgs(1)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var in client.LedgerBalanceIn
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if len(args) == 1 {
			if in.DID, err = account(args[0]); err != nil {
				return err
			}
		}
		return read(c, cmd, "ledger.balance", in, func(o *client.LedgerBalanceOut) {
			var rows, gifts [][]string
			for _, b := range o.Balances {
				f := func(n int64) string { return formatAmount(n, b.Scale) }
				if b.Gift {
					gifts = append(gifts, []string{b.Currency, f(b.In), f(b.Out)})
					continue
				}
				available := f(b.Available)
				if b.Frozen {
					available = "frozen"
				}
				rows = append(rows, []string{b.Currency, f(b.Balance), f(b.FinalCredits), f(b.Unacknowledged), f(b.Limit), available})
			}
			if len(gifts) > 0 {
				c.table("", "CURRENCY THANKED-FOR HAS-THANKED-FOR", gifts)
			}
			if len(gifts) == 0 || len(rows) > 0 {
				c.table("No currency.", "CURRENCY BALANCE FINAL-CREDITS UNACKNOWLEDGED LIMIT AVAILABLE", rows)
			}
			for _, b := range o.Balances {
				if b.Gift && b.Frozen {
					c.note("The account is frozen: nothing is paid from it in %s.", b.Currency)
				}
				if b.Warning != "" {
					c.note("Mind: %s.", b.Warning)
				}
			}
			if len(o.Allotments) > 0 {
				c.allotments(o.Allotments)
			}
			if o.Removed != "" {
				c.note("%s is no member any more (%s); the balance stays, and what is owed is owed.", o.DID, clean(o.Removed))
			}
		})
	}
	return cmd
}

func (c *ctl) ledgerHistory() *cobra.Command {
	var in client.LedgerHistoryIn
	var with, from, until, least, most string
	cmd := &cobra.Command{
		Use: "history [DID|treasury]", Short: "List payments, the newest first, or search them", Args: cobra.MaximumNArgs(1),
		Example: "icnctl ledger history --text bread --from 2026-11-01 --until 2026-12-01",
	}
	space := spaceFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&in.Currency, "currency", "", "only this currency")
	f.StringVar(&with, "with", "", "only payments to or from this DID")
	f.StringVar(&in.Category, "category", "", "only this category")
	f.StringVar(&in.Text, "text", "", "only what has this in its memo")
	f.StringVar(&from, "from", "", "only from this day or time on")
	f.StringVar(&until, "until", "", "only before this day or time")
	f.StringVar(&least, "min", "", "only amounts of at least so much")
	f.StringVar(&most, "max", "", "only amounts of at most so much")
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
		if with != "" {
			if in.With, err = did(with); err != nil {
				return err
			}
		}
		if in.From, err = moment("--from", from); err != nil {
			return err
		}
		if in.Until, err = moment("--until", until); err != nil {
			return err
		}
		if least != "" || most != "" {
			if err := c.between(cmd, &in, least, most); err != nil {
				return err
			}
		}
		return read(c, cmd, "ledger.history", in, func(o *client.LedgerHistoryOut) {
			var rows [][]string
			for _, e := range o.Entries {
				with := e.From
				if e.BalanceDelta < 0 {
					with = e.To
				}
				day := when(e.Time)
				if e.ValueDate != "" {
					day = e.ValueDate
				}
				rows = append(rows, []string{
					day, formatAmount(e.BalanceDelta, e.Scale), e.Currency, string(with), string(e.Level), e.ID.String(), kindOf(e), e.Category, e.Memo,
				})
			}
			c.table("No payments.", "TIME AMOUNT CURRENCY WITH STATE RECORD KIND CATEGORY MEMO", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

// kindOf says what a payment was, and what of it went back.
func kindOf(e client.LedgerEntry) string {
	kind := e.Kind
	for _, f := range e.For {
		kind += " " + f.ID.Short()
	}
	kind += keyedBy(e.KeyedBy)
	if e.Refunded > 0 {
		kind += ", given back " + formatAmount(e.Refunded, e.Scale)
	}
	return kind
}

// keyedBy says who has entered a payment for its owner, by the end of the DID.
func keyedBy(who api.DID) string {
	if who == "" {
		return ""
	}
	return ", keyed by …" + string(who[max(0, len(who)-8):])
}

// between reads bounds of amounts, which are of one currency.
func (c *ctl) between(cmd *cobra.Command, in *client.LedgerHistoryIn, least, most string) error {
	cur, err := c.currency(cmd, in.Space, in.Currency)
	if err != nil {
		return err
	}
	in.Currency = cur.Code
	if least != "" {
		if in.Min, err = parseAmount(least, cur.Scale, cur.Code); err != nil {
			return err
		}
	}
	if most != "" {
		in.Max, err = parseAmount(most, cur.Scale, cur.Code)
	}
	return err
}

// currencyFlag is for commands that say an amount: (*ctl).currency looks up what is left open.
func currencyFlag(cmd *cobra.Command, code *string) {
	cmd.Flags().StringVar(code, "currency", "", "code of the currency (default: the only one of the space)")
}

func (c *ctl) ledgerGrant() *cobra.Command {
	var in client.LedgerGrantIn
	cmd := &cobra.Command{
		Use: "grant DID LIMIT", Short: "Set how far a member may go below zero", Args: cobra.ExactArgs(2),
		Example: "icnctl ledger grant did:icn:... 250 --currency hours",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
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
		in.Currency, in.Limit = cur.Code, n
		return write(c, cmd, "ledger.grant", in, func(o *client.LedgerGrantOut) {
			c.facts("member", string(in.To), "limit", formatAmount(in.Limit, cur.Scale)+" "+cur.Code, "grant", strconv.FormatUint(o.Number, 10))
			c.receipt(o.Receipt)
			c.cutNote(o.Cut)
		})
	}
	return cmd
}

// cutNote says what comes of a change that lessens what an account may do.
func (c *ctl) cutNote(cut string) {
	switch cut {
	case "under-way":
		c.note("The account's feed is being cut, so that this binds even who does not look: icnctl feed list --odd.")
	case "waits":
		c.note("Another cut of the account's feed is under way; the next one, for the sake of this, follows by itself: icnctl feed list --odd.")
	case "by-registrar":
		c.note("The registrar's node has the account's feed cut once it learns of this; until then it binds the account once it looks.")
	}
}

func (c *ctl) ledgerFreeze() *cobra.Command {
	var in client.LedgerFreezeIn
	var until string
	cmd := &cobra.Command{
		Use: "freeze DID", Short: "Stop an account from spending, or --lift that (clerk)", Args: cobra.ExactArgs(1),
		Example: "icnctl ledger freeze did:icn:... --currency hours --until 2026-12-24 --reason \"lost her phone\"",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().BoolVar(&in.Lift, "lift", false, "let it spend again")
	cmd.Flags().StringVar(&until, "until", "", "a day or time when the clerk's node lifts it by itself (default: never)")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, one line; every member can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.To, err = did(args[0]); err != nil {
			return err
		}
		if in.Until, err = moment("--until", until); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency = cur.Code
		return write(c, cmd, "ledger.freeze", in, func(o *client.LedgerFreezeOut) {
			c.facts("member", string(in.To), "frozen", yes(!in.Lift), "grant", strconv.FormatUint(o.Number, 10))
			c.receipt(o.Receipt)
			c.cutNote(o.Cut)
		})
	}
	return cmd
}

func (c *ctl) ledgerFreezes() *cobra.Command {
	cmd := &cobra.Command{Use: "freezes", Short: "List the accounts that are frozen, why and until when", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "ledger.freezes", client.LedgerFreezesIn{Space: id}, func(o *client.LedgerFreezesOut) {
			var rows [][]string
			for _, f := range o.Freezes {
				until := "lifted"
				if !f.Until.IsZero() {
					until = when(f.Until)
				}
				rows = append(rows, []string{string(f.Account), f.Currency, until, f.Reason})
			}
			c.table("No account is frozen.", "MEMBER CURRENCY UNTIL REASON", rows)
		})
	}
	return cmd
}

func (c *ctl) ledgerVerify() *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Check that the balances of each currency sum to zero", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		var bad error
		err = readBoth(c, cmd, "ledger.verify", client.LedgerVerifyIn{Space: id}, func(o *client.LedgerVerifyOut) {
			var rows [][]string
			for _, cur := range o.Currencies {
				rows = append(rows, []string{cur.Currency, strconv.Itoa(cur.Accounts), strconv.FormatInt(cur.Sum, 10)})
			}
			c.table("No currency has been used yet.", "CURRENCY ACCOUNTS SUM", rows)
			for _, p := range o.Problems {
				c.note("problem: %s", clean(p))
			}
			if o.OK {
				c.note("The books balance.")
			}
		}, func(o *client.LedgerVerifyOut) {
			if !o.OK {
				bad = api.Errorf("ledger.verify", api.Conflict, "the books do not balance: `icnctl state verify` tells whether the state is at fault")
			}
		})
		return errors.Join(err, bad)
	}
	return cmd
}

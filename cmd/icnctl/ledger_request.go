package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// moment reads a point of time that a person types: a day, which begins here, or a time as RFC 3339 has it. What is not given is none.
func moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, api.Errorf(flag, api.Invalid, "%s %q: want a day such as 2026-11-21, or a time such as 2026-11-21T17:00:00Z", flag, text)
	}
	return t, nil
}

// recordArg reads the id of a record that is the argument name.
func recordArg(name, text string) (api.Hash, error) {
	id, err := api.ParseHash(text)
	if err != nil {
		return id, api.Errorf(name, api.Invalid, "%w", err)
	}
	return id, nil
}

// recordIn reads what commands about a record begin with: the space, and the record, which is the argument name.
func recordIn(space, name, id string) (in, rec api.Hash, err error) {
	if in, err = spaceID(space); err != nil {
		return in, rec, err
	}
	rec, err = recordArg(name, id)
	return in, rec, err
}

// accountIn reads what lists of an account's begin with: the space, and whose they are, where that is said.
func accountIn(space string, args []string) (in api.Hash, of api.DID, err error) {
	if in, err = spaceID(space); err != nil || len(args) == 0 {
		return in, of, err
	}
	of, err = did(args[0])
	return in, of, err
}

func (c *ctl) ledgerRequest() *cobra.Command {
	var in client.LedgerRequestIn
	var expires, back string
	cmd := &cobra.Command{
		Use: "request DID AMOUNT", Short: "Ask a member to pay you", Args: cobra.ExactArgs(2),
		Long: "Asks a member to pay you. The member sees it in icnctl ledger requests and approves or declines it; you can cancel it until then. It is paid once, " +
			"wherever and however often it is approved. With --for you ask back what you have paid, wholly or in part.",
		Example: "icnctl ledger request did:icn:... 12.50 --memo \"30 eggs\" --expires 2026-12-24",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&in.Memo, "memo", "", "what it is for, one line; every member can read it")
	cmd.Flags().StringVar(&in.Category, "category", "", "for the payer's books: a-z 0-9 -")
	cmd.Flags().StringVar(&expires, "expires", "", "a day or time from when on it is shown as expired")
	cmd.Flags().StringVar(&back, "for", "", "id of a payment of yours that you ask back")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Payer, err = did(args[0]); err != nil {
			return err
		}
		if in.Expires, err = moment("--expires", expires); err != nil {
			return err
		}
		if back != "" {
			if in.For, err = recordArg("--for", back); err != nil {
				return err
			}
		}
		cur, n, err := c.amount(cmd, in.Space, in.Currency, args[1])
		if err != nil {
			return err
		}
		in.Currency, in.Amount = cur.Code, n
		return write(c, cmd, "ledger.request", in, func(o *client.LedgerRequestOut) {
			c.facts("asked for", formatAmount(in.Amount, cur.Scale)+" "+cur.Code, "from", string(in.Payer), "request", o.Receipt.Position.ID.String())
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) ledgerRequests() *cobra.Command {
	var in client.LedgerRequestsIn
	cmd := &cobra.Command{
		Use: "requests [DID]", Short: "List what members are asked to pay, and what has become of it, newest first", Args: cobra.MaximumNArgs(1),
		Example: "icnctl ledger requests --side in --state open",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Side, "side", "", "in: what others ask of the account; out: what it asks of others (default: both)")
	cmd.Flags().StringVar(&in.State, "state", "", "only those that are open, paid, declined, cancelled or expired")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.requests", in, func(o *client.LedgerRequestsOut) {
			var rows [][]string
			for _, q := range o.Requests {
				state := q.State
				if q.Reason != "" {
					state += ": " + q.Reason
				}
				rows = append(rows, []string{
					when(q.Time), formatAmount(q.Amount, q.Scale), q.Currency, string(q.Payee), string(q.Payer), state, q.ID.String(), q.Memo,
				})
			}
			c.table("No requests.", "TIME AMOUNT CURRENCY PAYEE PAYER STATE REQUEST MEMO", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

// request shows what an operation was about.
func (c *ctl) request(q client.LedgerRequest) {
	c.facts("request", q.ID.String(), "state", q.State, "amount", formatAmount(q.Amount, q.Scale)+" "+q.Currency, "payee", string(q.Payee), "payer", string(q.Payer))
}

func (c *ctl) ledgerApprove() *cobra.Command {
	var in client.LedgerApproveIn
	cmd := &cobra.Command{
		Use: "approve REQUEST", Short: "Pay what a member has asked you for, once", Args: cobra.ExactArgs(1),
		Long:    "Pays the request: the amount, to who asks, with the memo of the request. Repeated, it pays once and names the payment.",
		Example: "icnctl ledger approve 3f0c...",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Anyway, "anyway", false, "pay it also when it has expired")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "REQUEST", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.approve", in, func(o *client.LedgerApproveOut) {
			q, did := o.Request, "paid"
			if o.Receipt.Repeated {
				did = "paid before"
			}
			c.facts(append([]string{did, formatAmount(q.Amount, q.Scale) + " " + q.Currency, "to", string(q.Payee), "request", q.ID.String()},
				hasNow(o.Gift, o.Balance, o.Available, q.Scale, q.Currency)...)...)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) ledgerDecline() *cobra.Command {
	var in client.LedgerDeclineIn
	cmd := &cobra.Command{
		Use: "decline REQUEST", Short: "Refuse to pay what a member has asked you for", Args: cobra.ExactArgs(1),
		Example: "icnctl ledger decline 3f0c... --reason \"that was Ben's\"",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, one line; every member can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "REQUEST", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.decline", in, func(o *client.LedgerDeclineOut) {
			c.request(o.Request)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) ledgerCancel() *cobra.Command {
	var in client.LedgerCancelIn
	cmd := &cobra.Command{Use: "cancel REQUEST", Short: "Take back a request of your own", Args: cobra.ExactArgs(1), Example: "icnctl ledger cancel 3f0c..."}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "REQUEST", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.cancel", in, func(o *client.LedgerCancelOut) {
			c.request(o.Request)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) ledgerReverse() *cobra.Command {
	var in client.LedgerReverseIn
	cmd := &cobra.Command{
		Use: "reverse PAYMENT [AMOUNT]", Short: "Give back a payment that was made to you, wholly or in part", Args: cobra.RangeArgs(1, 2),
		Long: "Pays back what a member has paid you: all that is left of it, or AMOUNT. However often it is done, not more goes back than was paid. " +
			"Both histories show the two payments with each other.",
		Example: "icnctl ledger reverse 3f0c... 2.50 --memo \"two eggs were broken\"",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Currency, "currency", "", "code of the currency, for a payment of several")
	cmd.Flags().StringVar(&in.Memo, "memo", "", "why, one line; every member can read it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "PAYMENT", args[0]); err != nil {
			return err
		}
		if len(args) == 2 {
			cur, n, err := c.amount(cmd, in.Space, in.Currency, args[1])
			if err != nil {
				return err
			}
			in.Currency, in.Amount = cur.Code, n
			if in.Amount == 0 {
				return api.Errorf("AMOUNT", api.Invalid, "0: want more than 0, or nothing for all")
			}
		}
		return write(c, cmd, "ledger.reverse", in, func(o *client.LedgerReverseOut) {
			c.facts(append([]string{
				"gave back", formatAmount(o.Amount, o.Scale) + " " + o.Currency, "to", string(o.To), "of", in.ID.String(),
				"left", formatAmount(o.Left, o.Scale) + " " + o.Currency,
			}, hasNow(o.Gift, o.Balance, o.Available, o.Scale, o.Currency)...)...)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

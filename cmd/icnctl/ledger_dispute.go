package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) ledgerDispute() *cobra.Command {
	return group("dispute", "Disputes: what was paid and should not have been, or is in escrow",
		c.disputeFile(), c.disputeSay(), c.disputeMediator(), c.disputeOffer(), c.disputeAccept(), c.disputeAward(), c.disputeUphold(), c.disputeList(), c.disputeShow())
}

// dispute shows a dispute.
func (c *ctl) dispute(d client.LedgerDispute) {
	amount := func(n int64) string { return formatAmount(n, d.Scale) + " " + d.Currency }
	facts := []string{
		"dispute", d.ID.String(), "state", d.State, "claim", amount(d.Amount), "claimant", string(d.Claimant), "against", string(d.Against), "about", d.About.String(),
		"reason", oneLine(d.Reason), "answer by", when(d.Deadline),
	}
	if d.Mediator != "" {
		facts = append(facts, "mediator", string(d.Mediator))
	}
	for _, did := range d.Bound {
		facts = append(facts, "bound", string(did))
	}
	if len(d.Upheld) > 0 {
		facts = append(facts, "upheld", fmt.Sprintf("by %d of %d members; more than half decide", len(d.Upheld), d.Members))
	}
	if d.Comes != nil {
		says := amount(*d.Comes)
		if !d.Binding && d.State != "redressed" {
			says += ", but not both sides have bound themselves to it: nobody is made to pay"
		}
		facts = append(facts, "comes to", says)
	}
	if !d.By.IsZero() {
		facts = append(facts, "by", d.By.String())
	}
	c.facts(facts...)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// digests reads the digests of files.
func digests(texts []string) (all []api.Hash, err error) {
	for _, t := range texts {
		h, err := recordArg("--evidence", t)
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

func (c *ctl) disputeFile() *cobra.Command {
	var in client.LedgerDisputeFileIn
	var deadline string
	var evidence []string
	cmd := &cobra.Command{
		Use: "file RECORD DID AMOUNT REASON", Short: "Dispute a payment or an escrow", Args: cobra.ExactArgs(4),
		Long: "Claims AMOUNT of a payment or an escrow from the other side of it. Everybody in the space can read it. Nobody is made to pay without having agreed, to an offer or " +
			"to be bound by what a mediator awards, unless more than half of all members say that your claim to a payment of yours is right: icnctl ledger dispute uphold.",
		Example: "icnctl ledger dispute file 3f0c... did:icn:... 6 \"the boat leaks\" --deadline 2026-12-24",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&deadline, "deadline", "", "a day or time until when an answer is asked for (default: in 14 days); it decides nothing")
	cmd.Flags().StringArrayVar(&evidence, "evidence", nil, "digest of a file, as icnctl blob add gives it; several times for several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.About, err = recordArg("RECORD", args[0]); err != nil {
			return err
		}
		if in.Against, err = did(args[1]); err != nil {
			return err
		}
		if in.Deadline, err = moment("--deadline", deadline); err != nil {
			return err
		}
		if in.Evidence, err = digests(evidence); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency, in.Reason = cur.Code, args[3]
		if in.Amount, err = parseAmount(args[2], cur.Scale, cur.Code); err != nil {
			return err
		}
		return write(c, cmd, "ledger.dispute.file", in, func(o *client.LedgerDisputeFileOut) {
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) disputeSay() *cobra.Command {
	var in client.LedgerDisputeSayIn
	var evidence []string
	cmd := &cobra.Command{
		Use: "say DISPUTE WHAT [TEXT]", Short: "Say something in a dispute", Args: cobra.RangeArgs(2, 3),
		Long: "WHAT is evidence, by a side; answer, by whom it is against; escalate, by a side, to ask the registrar to name a mediator; mediate or refuse, by who is asked to mediate; and by " +
			"the claimant withdraw (there is no claim), write-off (the claim is given up) or settled (it got what it is content with).",
		Example: "icnctl ledger dispute say 3f0c... answer \"it leaks a little\"",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringArrayVar(&evidence, "evidence", nil, "digest of a file, as icnctl blob add gives it; several times for several")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		if in.Evidence, err = digests(evidence); err != nil {
			return err
		}
		if in.What = args[1]; len(args) == 3 {
			in.Text = args[2]
		}
		return write(c, cmd, "ledger.dispute.say", in, func(o *client.LedgerDisputeSayOut) {
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) disputeMediator() *cobra.Command {
	var in client.LedgerDisputeMediatorIn
	cmd := &cobra.Command{
		Use: "mediator DISPUTE DID", Short: "Agree to a mediator, or as registrar name one", Args: cobra.ExactArgs(2),
		Long: "Agrees to a member as mediator. With --bound what the mediator awards, up to what is claimed, is carried out without asking you again, once the other side has said the same. That " +
			"cannot be taken back.",
		Example: "icnctl ledger dispute mediator 3f0c... did:icn:... --bound",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Bound, "bound", false, "be bound by what the mediator awards, for good")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		if in.Mediator, err = did(args[1]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.dispute.mediator", in, func(o *client.LedgerDisputeMediatorOut) {
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

// claimed reads an amount in the currency of a dispute.
func (c *ctl) claimed(cmd *cobra.Command, space, id api.Hash, text string) (int64, error) {
	ctx, cancel := c.context(cmd)
	defer cancel()
	_, o, err := ask[client.LedgerDisputeShowOut](ctx, c, "ledger.dispute.show", client.LedgerDisputeShowIn{Space: space, ID: id})
	if err != nil {
		return 0, err
	}
	return parseAmount(text, o.Dispute.Scale, o.Dispute.Currency)
}

func (c *ctl) disputeOffer() *cobra.Command {
	var in client.LedgerDisputeOfferIn
	cmd := &cobra.Command{
		Use: "offer DISPUTE AMOUNT [TEXT]", Short: "Offer how much the claimant gets", Args: cobra.RangeArgs(2, 3),
		Long:    "Offers that the claimant gets AMOUNT. A side that offers has accepted its own offer, in place of those before; once the other side accepts it the clerk's node carries it out.",
		Example: "icnctl ledger dispute offer 3f0c... 3 \"half of it\"",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		if in.Amount, err = c.claimed(cmd, in.Space, in.ID, args[1]); err != nil {
			return err
		}
		if len(args) == 3 {
			in.Text = args[2]
		}
		return write(c, cmd, "ledger.dispute.offer", in, func(o *client.LedgerDisputeOfferOut) {
			c.facts("offer", o.Receipt.Position.ID.String())
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) disputeAccept() *cobra.Command {
	var in client.LedgerDisputeAcceptIn
	cmd := &cobra.Command{
		Use: "accept DISPUTE OFFER", Short: "Accept an offer", Args: cobra.ExactArgs(2), Example: "icnctl ledger dispute accept 3f0c... 77ab...",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		if in.Offer, err = recordArg("OFFER", args[1]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.dispute.accept", in, func(o *client.LedgerDisputeAcceptOut) {
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) disputeAward() *cobra.Command {
	var in client.LedgerDisputeAwardIn
	cmd := &cobra.Command{
		Use: "award DISPUTE AMOUNT [REASON]", Short: "Say, as its mediator, how much the claimant gets", Args: cobra.RangeArgs(2, 3),
		Long:    "Awards AMOUNT to the claimant, once. It is carried out if both sides have bound themselves to what you award; else it is your word and no more.",
		Example: "icnctl ledger dispute award 3f0c... 4 \"the plans were wrong as well\"",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		if in.Amount, err = c.claimed(cmd, in.Space, in.ID, args[1]); err != nil {
			return err
		}
		if len(args) == 3 {
			in.Text = args[2]
		}
		return write(c, cmd, "ledger.dispute.award", in, func(o *client.LedgerDisputeAwardOut) {
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) disputeUphold() *cobra.Command {
	var in client.LedgerDisputeUpholdIn
	cmd := &cobra.Command{
		Use: "uphold DISPUTE", Short: "Say that a claim is right: once more than half of all members do, the payment is undone", Args: cobra.ExactArgs(1),
		Long: "Says that the claimant is right about a payment that they have made. Once more than half of all members say so, the clerk's node pays back what is claimed and was not given " +
			"back yet, whether who was paid agrees or not; even where that leaves them owing more than their limit. Everybody can see who says so. --back takes it back, as long as not enough were counted.",
		Example: "icnctl ledger dispute uphold 3f0c...",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Back, "back", false, "take back what you have said")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		return write(c, cmd, "ledger.dispute.uphold", in, func(o *client.LedgerDisputeUpholdOut) {
			c.dispute(o.Dispute)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) disputeList() *cobra.Command {
	var in client.LedgerDisputeListIn
	cmd := &cobra.Command{
		Use: "list [DID]", Short: "List disputes, newest first, and what they have come to", Args: cobra.MaximumNArgs(1), Example: "icnctl ledger dispute list --all --state escalated",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.All, "all", false, "everybody's, for mediators and the registrar")
	cmd.Flags().StringVar(&in.State, "state", "", "only those in this state, such as open, unanswered, escalated or redressed")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.dispute.list", in, func(o *client.LedgerDisputeListOut) {
			var rows [][]string
			for _, d := range o.Disputes {
				rows = append(rows, []string{when(d.Time), formatAmount(d.Amount, d.Scale), d.Currency, string(d.Claimant), string(d.Against), d.State, d.ID.String(), oneLine(d.Reason)})
			}
			c.table("No disputes.", "TIME CLAIM CURRENCY CLAIMANT AGAINST STATE DISPUTE REASON", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) disputeShow() *cobra.Command {
	var in client.LedgerDisputeShowIn
	cmd := &cobra.Command{
		Use: "show DISPUTE", Short: "Show a dispute and all that was said in it", Args: cobra.ExactArgs(1), Example: "icnctl ledger dispute show 3f0c...",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.ID, err = recordIn(*space, "DISPUTE", args[0]); err != nil {
			return err
		}
		return read(c, cmd, "ledger.dispute.show", in, func(o *client.LedgerDisputeShowOut) {
			c.dispute(o.Dispute)
			var rows [][]string
			for _, x := range o.Said {
				text := oneLine(x.Text)
				switch {
				case x.Amount != nil:
					text = strings.TrimSpace(formatAmount(*x.Amount, o.Dispute.Scale) + " " + o.Dispute.Currency + " " + text)
				case x.Mediator != "":
					text = string(x.Mediator)
				}
				rows = append(rows, []string{when(x.Time), x.What, string(x.By), x.ID.String(), text})
			}
			c.table("Nothing was said.", "TIME WHAT BY RECORD TEXT", rows)
		})
	}
	return cmd
}

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) treasuryCmd() *cobra.Command {
	return group("treasury", "The space's own money, which nobody spends alone",
		c.treasuryShow(), c.treasuryPropose(), c.treasuryProposals(), c.treasuryApprove(), c.treasuryDo(), c.treasuryPay(), c.treasuryRevise())
}

func (c *ctl) treasuryShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show what the treasury has, its rules, and what is left of its budgets", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "treasury.show", client.TreasuryShowIn{Space: id}, func(o *client.TreasuryShowOut) {
			c.facts("account", string(o.Account), "office", string(o.Holder))
			scales := map[string]int{}
			var rows [][]string
			for _, b := range o.Balances {
				scales[b.Currency] = b.Scale
				rows = append(rows, []string{b.Currency, formatAmount(b.Balance, b.Scale), formatAmount(b.Available, b.Scale)})
			}
			c.table("No currency.", "CURRENCY BALANCE AVAILABLE", rows)
			if o.First {
				c.note("No rules were approved yet. Until then:")
			}
			c.treasuryRules(o.Rules, scales)
		})
	}
	return cmd
}

// treasuryRules shows rules, in the decimals of the currencies.
func (c *ctl) treasuryRules(r *client.LedgerRules, scales map[string]int) {
	who := "every member"
	if len(r.Approvers) > 0 {
		var names []string
		for _, did := range r.Approvers {
			names = append(names, string(did))
		}
		who = strings.Join(names, ", ")
	}
	c.facts("approve", who, "needed", strconv.Itoa(r.Need))
	if len(r.Tiers) > 0 {
		var rows [][]string
		for _, t := range r.Tiers {
			rows = append(rows, []string{formatAmount(t.Most, scales[t.Currency]), t.Currency, strconv.Itoa(t.Need)})
		}
		c.table("", "UP-TO CURRENCY NEEDED", rows)
	}
	if len(r.Budgets) > 0 {
		var rows [][]string
		for _, b := range r.Budgets {
			rows = append(rows, []string{b.Purpose, formatAmount(b.Amount, scales[b.Currency]), b.Currency, b.Every, formatAmount(b.Left, scales[b.Currency])})
		}
		c.table("", "PURPOSE AMOUNT CURRENCY EVERY LEFT", rows)
	}
}

// spending is the flags and arguments of a payment from the treasury.
func (c *ctl) spending(cmd *cobra.Command, run func(cmd *cobra.Command, in client.TreasuryProposeIn, scale int) error) *cobra.Command {
	var in client.TreasuryProposeIn
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&in.Purpose, "purpose", "", "of the budget that it is from")
	cmd.Flags().StringVar(&in.Memo, "memo", "", "what it is for, one line; every member can read it")
	cmd.Args = cobra.ExactArgs(2)
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
		return run(cmd, in, cur.Scale)
	}
	return cmd
}

func (c *ctl) treasuryPropose() *cobra.Command {
	cmd := &cobra.Command{
		Use: "propose DID AMOUNT", Short: "Propose a payment from the treasury",
		Example: "icnctl treasury propose did:icn:... 3.00 --purpose seeds --memo \"seed potatoes\"",
	}
	return c.spending(cmd, func(cmd *cobra.Command, in client.TreasuryProposeIn, _ int) error {
		return write(c, cmd, "treasury.propose", in, c.proposed)
	})
}

func (c *ctl) proposed(o *client.TreasuryProposeOut) {
	c.facts("proposal", o.Proposal.String(), "needed", strconv.Itoa(o.Needed))
	c.receipt(o.Receipt)
	c.note("Others approve it: icnctl treasury approve %s", o.Proposal)
}

func (c *ctl) treasuryPay() *cobra.Command {
	cmd := &cobra.Command{Use: "pay DID AMOUNT", Short: "Pay a small amount that needs no approval, as the treasury's office"}
	return c.spending(cmd, func(cmd *cobra.Command, in client.TreasuryProposeIn, scale int) error {
		return write(c, cmd, "treasury.pay", client.TreasuryPayIn(in), func(o *client.TreasuryPayOut) {
			c.facts("paid", formatAmount(in.Amount, scale)+" "+in.Currency, "to", string(in.To), "left", formatAmount(o.Balance, scale)+" "+in.Currency)
			c.receipt(o.Receipt)
		})
	})
}

func (c *ctl) treasuryProposals() *cobra.Command {
	var in client.TreasuryProposalsIn
	cmd := &cobra.Command{Use: "proposals", Short: "List what was proposed, the newest first, who has approved it, and what became of it", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Open, "open", false, "only what is not carried out yet")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "treasury.proposals", in, func(o *client.TreasuryProposalsOut) {
			var rows [][]string
			for _, p := range o.Proposals {
				what := "other rules"
				if p.Rules == nil {
					what = formatAmount(p.Amount, p.Scale) + " " + p.Currency + " to " + string(p.To)
				}
				rows = append(rows, []string{when(p.Time), p.State, fmt.Sprintf("%d of %d", len(p.Approvals), p.Needed), p.ID.String(), what, p.Memo})
			}
			c.table("Nothing was proposed.", "TIME STATE APPROVED PROPOSAL WHAT MEMO", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

// proposal is the command that names a proposal.
func (c *ctl) proposal(cmd *cobra.Command, run func(cmd *cobra.Command, space, id api.Hash) error) *cobra.Command {
	space := spaceFlag(cmd)
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := spaceID(*space)
		if err != nil {
			return err
		}
		var id api.Hash
		if err := id.UnmarshalText([]byte(args[0])); err != nil {
			return fmt.Errorf("proposal %q: want 64 hexadecimal digits, as icnctl treasury proposals lists them", args[0])
		}
		return run(cmd, in, id)
	}
	return cmd
}

func (c *ctl) treasuryApprove() *cobra.Command {
	cmd := &cobra.Command{Use: "approve PROPOSAL", Short: "Approve what another member has proposed"}
	return c.proposal(cmd, func(cmd *cobra.Command, space, id api.Hash) error {
		return write(c, cmd, "treasury.approve", client.TreasuryApproveIn{Space: space, Proposal: id}, func(o *client.TreasuryApproveOut) {
			c.facts("proposal", o.Proposal.ID.String(), "approved", fmt.Sprintf("%d of %d", len(o.Proposal.Approvals), o.Proposal.Needed))
			c.receipt(o.Receipt)
		})
	})
}

func (c *ctl) treasuryDo() *cobra.Command {
	cmd := &cobra.Command{Use: "do PROPOSAL", Short: "Carry out what was proposed and approved, as the treasury's office"}
	return c.proposal(cmd, func(cmd *cobra.Command, space, id api.Hash) error {
		return write(c, cmd, "treasury.do", client.TreasuryDoIn{Space: space, Proposal: id}, func(o *client.TreasuryDoOut) { c.receipt(o.Receipt) })
	})
}

func (c *ctl) treasuryRevise() *cobra.Command {
	var in client.TreasuryReviseIn
	var approvers, tiers, budgets []string
	cmd := &cobra.Command{
		Use: "revise", Short: "Propose other rules for the treasury: who approves, from which amount on, and how much is for what", Args: cobra.NoArgs,
		Example: "icnctl treasury revise --approver did:icn:... --approver did:icn:... --need 2 --tier hours:1.00:0 --tier hours:5.00:1 --budget seeds:hours:50.00:month",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringArrayVar(&approvers, "approver", nil, "DID of a member who can approve; again for each")
	cmd.Flags().IntVar(&in.Need, "need", 1, "how many of them have to, above all tiers and for other rules")
	cmd.Flags().StringArrayVar(&tiers, "tier", nil, "fewer approvals for less: currency:amount:approvals; with 0 the office pays alone")
	cmd.Flags().StringArrayVar(&budgets, "budget", nil, "what may be spent: purpose:currency:amount:month or year; without any, all that is approved")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		for _, text := range approvers {
			who, err := did(text)
			if err != nil {
				return err
			}
			in.Approvers = append(in.Approvers, who)
		}
		if in.Tiers, err = c.inMinor(cmd, in.Space, "tier", tiers, 0, "currency:amount:approvals"); err != nil {
			return err
		}
		if in.Budgets, err = c.inMinor(cmd, in.Space, "budget", budgets, 1, "purpose:currency:amount:month or year"); err != nil {
			return err
		}
		return write(c, cmd, "treasury.revise", in, c.proposed)
	}
	return cmd
}

// inMinor writes the amounts of texts, which follow the currency at a place between colons, in minor units.
func (c *ctl) inMinor(cmd *cobra.Command, space api.Hash, flag string, texts []string, currency int, want string) (out []string, err error) {
	for _, text := range texts {
		parts := strings.Split(text, ":")
		if len(parts) < currency+3 {
			return nil, fmt.Errorf("--%s %q: want %s", flag, text, want)
		}
		_, n, err := c.amount(cmd, space, parts[currency], parts[currency+1])
		if err != nil {
			return nil, fmt.Errorf("--%s %q: %w", flag, text, err)
		}
		parts[currency+1] = strconv.FormatInt(n, 10)
		out = append(out, strings.Join(parts, ":"))
	}
	return out, nil
}

package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) ledgerPolicy() *cobra.Command {
	return group("policy", "By what rules members get their credit limits", c.ledgerPolicyShow(), c.ledgerPolicySet(), c.ledgerPolicyPresets())
}

func (c *ctl) ledgerPolicyShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show the credit policy of each currency", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "ledger.policy.show", client.LedgerPolicyShowIn{Space: id}, func(o *client.LedgerPolicyShowOut) {
			if len(o.Policies) == 0 {
				c.note("No credit policy: everybody has the limit of the founding, until the clerk grants another by hand. `icnctl ledger policy presets` lists some to begin with.")
			}
			for i := range o.Policies {
				c.policy(&o.Policies[i])
			}
		})
	}
	return cmd
}

// policy prints a credit policy.
func (c *ctl) policy(p *client.LedgerCreditPolicy) {
	f := func(n int64) string { return formatAmount(n, p.Scale) + " " + p.Currency }
	share := func(n int64) string { return formatAmount(n, 2) + " %" }
	name := strconv.FormatUint(p.Number, 10)
	if p.Preset != "" {
		name += ", " + p.Preset
	}
	growth := "nothing"
	if p.Growth > 0 {
		growth = f(p.Growth) + " for each " + f(p.Per) + " earned"
	}
	lower := "limits above what the policy gives stay"
	if p.Lower {
		lower = "limits above what the policy gives are lowered"
	}
	c.facts(
		"policy", name, "start", f(p.Start), "base", f(p.Base), "ramp", fmt.Sprintf("%d days", p.Ramp), "growth", growth,
		"trust", share(p.Trust)+" of base for a full standing", "max", f(p.Max), "warn", "from "+share(p.Warn)+" of a limit on", "lower", lower,
	)
	var rows [][]string
	for _, g := range p.Groups {
		for _, m := range g.Members {
			rows = append(rows, []string{string(m), "group " + g.Name, f(g.Base) + " to " + f(g.Max)})
		}
	}
	for _, o := range p.Own {
		rows = append(rows, []string{string(o.Account), "its own: " + o.Reason, f(o.Limit)})
	}
	if len(rows) > 0 {
		c.table("", "ACCOUNT WHY LIMIT", rows)
	}
}

func (c *ctl) ledgerPolicyPresets() *cobra.Command {
	cmd := &cobra.Command{Use: "presets", Short: "List credit policies to begin with, in whole units of a currency", Args: cobra.NoArgs}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return read(c, cmd, "ledger.policy.presets", struct{}{}, func(o *client.LedgerPolicyPresetsOut) {
			var rows [][]string
			n := func(n int64) string { return strconv.FormatInt(n, 10) }
			for _, p := range o.Presets {
				rows = append(rows, []string{
					p.Name, n(p.Start), n(p.Base), n(p.Max), n(p.Ramp) + " days", n(p.Growth) + " per " + n(p.Per), formatAmount(p.Trust, 2) + " %", formatAmount(p.Warn, 2) + " %", p.For,
				})
			}
			c.table("None.", "NAME START BASE MAX RAMP GROWTH TRUST WARN FOR", rows)
		})
	}
	return cmd
}

// presetStart returns what a preset lets a new member owe, as an amount is typed.
func (c *ctl) presetStart(cmd *cobra.Command, name string) (string, error) {
	ctx, cancel := c.context(cmd)
	defer cancel()
	_, o, err := ask[client.LedgerPolicyPresetsOut](ctx, c, "ledger.policy.presets", struct{}{})
	if err != nil {
		return "", err
	}
	var names []string
	for _, p := range o.Presets {
		if p.Name == name {
			return strconv.FormatInt(p.Start, 10), nil
		}
		names = append(names, p.Name)
	}
	return "", api.Errorf("--credit", api.Invalid, "got %q, want one of %s", name, strings.Join(names, ", "))
}

// found founds a space, and sets its first credit policy if one is named.
func (c *ctl) found(cmd *cobra.Command, in client.SpaceCreateIn, credit string) error {
	opts, err := c.writeOptions()
	if err != nil {
		return err
	}
	ctx, cancel := c.context(cmd)
	defer cancel()
	raw, o, err := ask[client.SpaceCreateOut](ctx, c, "space.create", in, opts...)
	if err != nil {
		return err
	}
	var policy error
	if credit != "" {
		_, _, policy = ask[client.LedgerPolicySetOut](ctx, c, "ledger.policy.set", client.LedgerPolicySetIn{Space: o.Space, Currency: in.Currency, Preset: credit})
	}
	if policy != nil {
		policy = fmt.Errorf("%s is founded, and has no credit policy yet (icnctl ledger policy set %s): %w", o.Space, credit, policy)
	}
	if c.json {
		return errors.Join(c.printJSON(raw), policy)
	}
	fmt.Fprintln(c.out, o.Space)
	c.receipt(o.Receipt)
	return policy
}

func (c *ctl) ledgerPolicySet() *cobra.Command {
	var in client.LedgerPolicySetIn
	var ramp int64
	var lower bool
	var file string
	cmd := &cobra.Command{
		Use: "set [PRESET]", Short: "Say by what rules members get their credit limits (clerk)", Args: cobra.MaximumNArgs(1),
		Long: "Say by what rules members get their credit limits. What is left out is as the preset says, or as the policy before. The clerk's node grants what the policy gives, within minutes. " +
			"Limits are not lowered unless you say --lower; limits that the clerk has set by hand stay.",
		Example: "icnctl ledger policy set conservative --dry-run\nicnctl ledger policy set conservative\nicnctl ledger policy set --base 150 --max 600\n" +
			"icnctl ledger policy set --growth 10 --per 50 --trust 0%\nicnctl ledger policy set --file rules.json",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	amounts := map[string]**int64{"start": &in.Start, "base": &in.Base, "max": &in.Max, "growth": &in.Growth, "per": &in.Per} // of in, whatever is read into it
	shares := map[string]**int64{"trust": &in.Trust, "warn": &in.Warn}
	texts := map[string]*string{}
	for name, usage := range map[string]string{
		"start": "limit on the day of joining", "base": "limit once the ramp is over, before anything is earned", "max": "the most that base, trust and growth come to",
		"growth": "how much more for each whole --per that a member was paid; 0: nothing", "per": "see --growth",
		"trust": "share of the base that a full standing adds, such as 30%", "warn": "share of its limit from which on a member is warned, such as 80%; 0%: never",
	} {
		texts[name] = cmd.Flags().String(name, "", usage)
	}
	cmd.Flags().Int64Var(&ramp, "ramp", 0, "days from start to the full limit")
	cmd.Flags().BoolVar(&lower, "lower", false, "lower limits that are above what the policy gives")
	cmd.Flags().StringVar(&file, "file", "", "file with the policy as JSON, as ledger rehearse takes it; flags change what it says")
	cmd.Flags().BoolVar(&in.DryRun, "dry-run", false, "say whose limits would change, and set nothing")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		if file != "" {
			rules, err := readRules(file)
			if err != nil {
				return err
			}
			filed, err := rules.policy(cur)
			if err != nil {
				return err
			}
			if filed == nil {
				return api.Errorf("--file", api.Invalid, "%s has no policy", file)
			}
			filed.Space, filed.DryRun = in.Space, in.DryRun
			in = client.LedgerPolicySetIn(*filed)
		}
		in.Currency = cur.Code
		if len(args) == 1 {
			in.Preset = args[0]
		}
		for _, name := range slices.Sorted(maps.Keys(texts)) {
			text := *texts[name]
			if text == "" {
				continue
			}
			to, scale, unit := amounts[name], cur.Scale, cur.Code
			if s := shares[name]; s != nil {
				to, scale, unit, text = s, 2, "%", strings.TrimSuffix(text, "%")
			}
			n, err := parseAmount(text, scale, unit)
			if err != nil {
				return err
			}
			*to = &n
		}
		if cmd.Flags().Changed("ramp") {
			in.Ramp = &ramp
		}
		if cmd.Flags().Changed("lower") {
			in.Lower = &lower
		}
		return write(c, cmd, "ledger.policy.set", in, func(o *client.LedgerPolicySetOut) {
			c.policy(&o.Policy)
			for _, what := range slices.Sorted(maps.Keys(o.Becomes)) {
				c.note("%d: %s.", o.Becomes[what], becomes(what))
			}
			if len(o.Changes) > 0 {
				c.limits(o.Changes)
			}
			if in.DryRun {
				c.note("Nothing was set.")
				return
			}
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

// becomes says what a policy makes of limits.
func becomes(what string) string {
	switch what {
	case "even":
		return "what the policy gives"
	case "rises":
		return "rising to what the policy gives, within minutes"
	case "lowers":
		return "lowered to what the policy gives, within minutes; each such account's feed is cut"
	case "above":
		return "above what the policy gives, and staying there: --lower would lower them"
	case "waits":
		return "to be lowered once no more is owed than the policy gives"
	case "by-hand":
		return "set by hand, and left alone: icnctl ledger regrade gives one back to the policy"
	case "frozen":
		return "frozen, and left alone until that is lifted"
	}
	return what
}

func (c *ctl) limits(all []client.LedgerLimitRow) {
	var rows [][]string
	for _, l := range all {
		limit := formatAmount(l.Limit, l.Scale)
		if l.Frozen {
			limit += ", frozen"
		}
		rows = append(rows, []string{string(l.Account), l.Currency, limit, formatAmount(l.Balance, l.Scale), formatAmount(l.Would, l.Scale), l.Becomes, l.Why})
	}
	c.table("Nobody.", "ACCOUNT CURRENCY LIMIT BALANCE POLICY BECOMES WHY", rows)
}

func (c *ctl) ledgerLimits() *cobra.Command {
	var in client.LedgerLimitsIn
	cmd := &cobra.Command{
		Use: "limits", Short: "List the members' credit limits, and what the policy makes of each", Args: cobra.NoArgs,
		Example: "icnctl ledger limits --becomes by-hand",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Currency, "currency", "", "only this currency")
	cmd.Flags().StringVar(&in.Becomes, "becomes", "", "only those of which the policy makes this: even, rises, lowers, above, waits, by-hand or frozen")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "ledger.limits", in, func(o *client.LedgerLimitsOut) {
			c.limits(o.Limits)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) ledgerLimit() *cobra.Command {
	cmd := &cobra.Command{Use: "limit [DID]", Short: "Explain how a credit limit has come about, and what would change it", Args: cobra.MaximumNArgs(1)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var in client.LedgerLimitIn
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.limit", in, func(o *client.LedgerLimitOut) {
			for i := range o.Limits {
				c.oneLimit(&o.Limits[i])
			}
			c.note("The clerk can grant another limit: %s.", o.Clerk)
		})
	}
	return cmd
}

func (c *ctl) oneLimit(l *client.LedgerLimit) {
	f := func(n int64) string { return formatAmount(n, l.Scale) + " " + l.Currency }
	if l.Gift {
		c.facts("currency", l.Currency, "limit", l.Why)
		return
	}
	c.facts("limit", f(l.Limit), "balance", f(l.Balance), "why", l.Why)
	terms := l.Terms
	if l.Becomes != "" {
		c.note("By the policy now: %s: %s.", f(l.Would), becomes(l.Becomes))
		terms = l.Gives
	}
	var rows [][]string
	for _, t := range terms {
		rows = append(rows, []string{formatAmount(t.Amount, l.Scale), t.Text})
	}
	if len(rows) > 0 {
		c.table("", "AMOUNT WHAT-FOR", rows)
	}
	if l.NextIn > 0 {
		c.note("A new member's limit rises again in %d days.", l.NextIn)
	}
	if l.Soft > 0 {
		c.note("Who owes more than %s is warned.", f(l.Soft))
	}
}

func (c *ctl) ledgerGrants() *cobra.Command {
	var in client.LedgerGrantsIn
	cmd := &cobra.Command{Use: "grants [DID]", Short: "List the changes of credit limits, newest first, and why", Args: cobra.MaximumNArgs(1)}
	space := spaceFlag(cmd)
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, in.DID, err = accountIn(*space, args); err != nil {
			return err
		}
		return read(c, cmd, "ledger.grants", in, func(o *client.LedgerGrantsOut) {
			var rows [][]string
			for _, x := range o.Changes {
				why := x.Why
				if x.Frozen {
					why = "frozen; " + why
				}
				rows = append(rows, []string{when(x.Time), string(x.Account), formatAmount(x.Before, x.Scale), formatAmount(x.Limit, x.Scale), x.Currency, x.ID.String(), why})
			}
			c.table("No limit was ever changed.", "TIME ACCOUNT FROM TO CURRENCY RECORD WHY", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) ledgerRegrade() *cobra.Command {
	var in client.LedgerRegradeIn
	cmd := &cobra.Command{
		Use: "regrade DID", Short: "Give an account the limit that the credit policy gives, now and from now on (clerk)", Args: cobra.ExactArgs(1),
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
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency = cur.Code
		return write(c, cmd, "ledger.regrade", in, func(o *client.LedgerRegradeOut) {
			c.facts("member", string(in.To), "limit", formatAmount(o.Limit, cur.Scale)+" "+cur.Code, "grant", strconv.FormatUint(o.Number, 10))
			c.receipt(o.Receipt)
			c.cutNote(o.Cut)
		})
	}
	return cmd
}

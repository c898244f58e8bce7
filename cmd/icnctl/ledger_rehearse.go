package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

// rulesFile is a file of rules, to be rehearsed or set: amounts in decimals and shares in percent, as people write them.
type rulesFile struct {
	Policy *struct {
		Preset string `json:"preset"`
		Start  string `json:"start"`
		Base   string `json:"base"`
		Max    string `json:"max"`
		Ramp   *int64 `json:"ramp"`
		Growth string `json:"growth"`
		Per    string `json:"per"`
		Trust  string `json:"trust"`
		Warn   string `json:"warn"`
		Lower  *bool  `json:"lower"`
		Groups []struct {
			Name    string    `json:"name"`
			Base    string    `json:"base"`
			Max     string    `json:"max"`
			Members []api.DID `json:"members"`
		} `json:"groups"`
		Own []struct {
			Account api.DID `json:"account"`
			Limit   string  `json:"limit"`
			Reason  string  `json:"reason"`
		} `json:"own"`
	} `json:"policy"`
	Charges []struct {
		Name   string `json:"name"`
		Charge string `json:"charge"`
		Amount string `json:"amount"`
		Rate   string `json:"rate"`
		Exempt string `json:"exempt"`
		Every  string `json:"every"`
		First  string `json:"first"`
		Last   string `json:"last"`
		Zone   string `json:"zone"`
	} `json:"charges"`
}

func readRules(path string) (*rulesFile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, api.Errorf("rules", api.Invalid, "%w", err)
	}
	var f rulesFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, api.Errorf("rules", api.Invalid, "%s: %w", path, err)
	}
	return &f, nil
}

// amounts reads what people write, and keeps the first thing that is wrong.
type amounts struct {
	cur client.MembershipCurrency
	err error
}

func (a *amounts) amount(text string) (n int64) {
	if text != "" && a.err == nil {
		n, a.err = parseAmount(text, a.cur.Scale, a.cur.Code)
	}
	return n
}

func (a *amounts) share(text string) (n int64) {
	if text != "" && a.err == nil {
		n, a.err = parseAmount(strings.TrimSuffix(text, "%"), 2, "%")
	}
	return n
}

// maybe is n, unless nothing was written.
func maybe(text string, n int64) *int64 {
	if text == "" {
		return nil
	}
	return &n
}

// policy is the file's policy for a currency, nil if it has none.
func (f *rulesFile) policy(cur client.MembershipCurrency) (*client.LedgerProposedPolicy, error) {
	p := f.Policy
	if p == nil {
		return nil, nil
	}
	a := &amounts{cur: cur}
	in := &client.LedgerProposedPolicy{
		Currency: cur.Code, Preset: p.Preset, Start: maybe(p.Start, a.amount(p.Start)), Base: maybe(p.Base, a.amount(p.Base)), Max: maybe(p.Max, a.amount(p.Max)), Ramp: p.Ramp,
		Growth: maybe(p.Growth, a.amount(p.Growth)), Per: maybe(p.Per, a.amount(p.Per)), Trust: maybe(p.Trust, a.share(p.Trust)), Warn: maybe(p.Warn, a.share(p.Warn)), Lower: p.Lower,
	}
	for _, g := range p.Groups {
		in.Groups = append(in.Groups, client.LedgerCreditGroup{Name: g.Name, Base: a.amount(g.Base), Max: a.amount(g.Max), Members: g.Members})
	}
	for _, o := range p.Own {
		in.Own = append(in.Own, client.LedgerOwnLimit{Account: o.Account, Limit: a.amount(o.Limit), Reason: o.Reason})
	}
	return in, a.err
}

// charges are the file's schedules.
func (f *rulesFile) charges(cur client.MembershipCurrency) (all []client.LedgerProposedCharge, err error) {
	a := &amounts{cur: cur}
	for _, c := range f.Charges {
		all = append(all, client.LedgerProposedCharge{
			Name: c.Name, Charge: c.Charge, Currency: cur.Code, Amount: a.amount(c.Amount), Rate: a.share(c.Rate), Exempt: a.amount(c.Exempt), Every: c.Every, First: c.First,
			Last: c.Last, Zone: c.Zone,
		})
	}
	return all, a.err
}

func (c *ctl) ledgerRehearse() *cobra.Command {
	var in client.LedgerRehearseIn
	var file, preset string
	cmd := &cobra.Command{
		Use: "rehearse", Short: "Replay the past as if other rules had held: who would have been refused, and what would have moved", Args: cobra.NoArgs,
		Long: "Replay the past as if other rules had held, before they are voted on or set: whose payments they would have refused and by how much, what they would have charged, and what balances would have come of " +
			"it. It takes what members did as it was; nobody is asked what they would have done instead. Whoever holds the same records gets the same report and digest.",
		Example: "icnctl ledger rehearse --policy rules.json\nicnctl ledger rehearse --preset conservative --from 2026-01-01",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	f := cmd.Flags()
	f.StringVar(&file, "policy", "", "file with the rules as JSON: a credit policy, charges, or both; see the treasurer's guide")
	f.StringVar(&preset, "preset", "", "rehearse this preset: icnctl ledger policy presets")
	f.StringVar(&in.From, "from", "", "first day, YYYY-MM-DD; what was before stays as it was")
	f.StringVar(&in.To, "to", "", "last day, YYYY-MM-DD (default: that of the newest payment)")
	f.StringVar(&in.Zone, "zone", "", "time zone of these days (default: UTC)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if (file == "") == (preset == "") {
			return api.Errorf("--policy", api.Invalid, "want a file of rules, or --preset")
		}
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency = cur.Code
		if preset != "" {
			in.Policy = &client.LedgerProposedPolicy{Currency: cur.Code, Preset: preset}
		} else {
			rules, err := readRules(file)
			if err != nil {
				return err
			}
			var err2 error
			in.Policy, err = rules.policy(cur)
			in.Charges, err2 = rules.charges(cur)
			if err := errors.Join(err, err2); err != nil {
				return err
			}
		}
		return read(c, cmd, "ledger.rehearse", in, c.rehearsed)
	}
	return cmd
}

// rehearsed prints a report.
func (c *ctl) rehearsed(o *client.LedgerRehearseOut) {
	f := func(n int64) string { return formatAmount(n, o.Scale) }
	c.facts("these rules", clean(o.Summary))
	var refusals, charges, accounts [][]string
	for _, r := range o.Refusals {
		refusals = append(refusals, []string{when(time.UnixMilli(r.Time)), string(r.From), string(r.To), f(r.Amount), f(r.Balance), f(r.Limit), f(r.Short), r.ID.String()})
	}
	c.table("No payment would have been refused.", "TIME FROM TO AMOUNT BALANCE LIMIT MISSING RECORD", refusals)
	if o.Refused > len(o.Refusals) {
		c.note("And %d more.", o.Refused-len(o.Refusals))
	}
	if o.Moot > 0 {
		c.note("%d records would have had nothing to stand on, since what they give back or settle was refused.", o.Moot)
	}
	if o.Replaced > 0 {
		c.note("%d charges of schedules of the same name were left out.", o.Replaced)
	}
	for _, x := range o.Charges {
		charges = append(charges, []string{x.Name, x.Charge, strconv.Itoa(x.Periods), strconv.Itoa(x.Accounts), f(x.Sum), f(x.Back)})
	}
	if len(charges) > 0 {
		c.table("", "NAME CHARGE PERIODS ACCOUNTS SUM BACK", charges)
	}
	for _, a := range o.Accounts {
		accounts = append(accounts, []string{string(a.Account), strconv.Itoa(a.Refused), f(a.Charged), f(a.Balance), f(a.Would), f(a.Limit)})
	}
	c.table("No account would have another balance.", "ACCOUNT REFUSED CHARGED BALANCE WOULD LIMIT", accounts)
	c.facts("digest", o.Digest.String())
}

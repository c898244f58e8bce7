package main

import (
	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) marketRings() *cobra.Command {
	var in client.MarketRingsIn
	var with string
	cmd := &cobra.Command{
		Use: "rings", Short: "Suggest rings of offers and wants: each has what the next one wants, the last what the first wants", Args: cobra.NoArgs,
		Long: "Looks through the offers and wants that are open for rings of 2 to 5 members. Those come first by which balances come nearest to zero: who owes much\n" +
			"gives more than they take. A suggestion binds nobody: talk to each other, and pay as always.",
		Example: "icnctl market rings --with me",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&with, "with", "", "only rings with this member; \"me\" for your own")
	cmd.Flags().IntVar(&in.Most, "most", 0, "members of a ring at most, 2 to 5 (default 5)")
	cmd.Flags().IntVar(&in.Limit, "limit", 0, "rings at most, 1 to 50 (default 10)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		switch with {
		case "":
		case "me":
			ctx, cancel := c.context(cmd)
			defer cancel()
			_, id, err := ask[client.IDShowOut](ctx, c, "id.show", nil)
			if err != nil {
				return err
			}
			in.With = id.DID
		default:
			if in.With, err = account(with); err != nil {
				return err
			}
		}
		return read(c, cmd, "market.rings", in, func(o *client.MarketRingsOut) {
			for _, r := range o.Rings {
				c.note("%s", clean(r.Text))
				var rows [][]string
				for _, l := range r.Legs {
					price, now, then := "none", "", ""
					if r.Currency != "" {
						price, now, then = formatAmount(l.Amount, r.Scale), formatAmount(l.Before, r.Scale), formatAmount(l.After, r.Scale)
						if l.Assumed {
							price = "about " + price
						}
					}
					rows = append(rows, []string{string(l.From), clean(l.Title), price, now, then, l.Offer.Short()})
				}
				c.table("", "WHO GIVES FOR BALANCE THEN AD", rows)
			}
			if len(o.Rings) == 0 {
				c.note("No ring closes: post what you want as well as what you offer (icnctl market post), in a category that others use.")
			}
			if !o.Whole {
				c.note("The market is large: only what is newest and fits best was looked at.")
			}
		})
	}
	return cmd
}

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) marketCmd() *cobra.Command {
	return group("market", "Offers and wants of the members",
		c.marketPost(), c.marketEdit(), c.marketWithdraw(), c.marketShow(), c.marketList(), c.marketCategories(), c.marketRings(),
		c.marketReport(), c.marketAct("hide", "Hide an ad from everybody but its author and the moderators"), c.marketAct("unhide", "Show a hidden ad again"), c.marketModeration())
}

// adFlags are those of what an ad says, for post and edit.
type adFlags struct {
	amount, currency, at string
	images               []string
}

func (f *adFlags) add(cmd *cobra.Command, text, price, area *string, grid *uint64, days *int) {
	fs := cmd.Flags()
	fs.StringVar(text, "text", "", "what there is to say; may have several lines")
	fs.StringVar(&f.amount, "amount", "", "price hint, such as 12.50")
	fs.StringVar(&f.currency, "currency", "", "of --amount: code of the currency (default: the only one of the space)")
	fs.StringVar(price, "price", "", "price hint in words, such as \"by agreement\"")
	fs.StringVar(area, "area", "", "name of the area")
	fs.StringSliceVar(&f.images, "image", nil, "file with a JPEG, PNG or WebP image, at most 1 MiB and four of them; where it was taken is taken out")
	fs.StringVar(&f.at, "at", "", "LATITUDE,LONGITUDE in degrees; rounded before it is signed")
	fs.Uint64Var(grid, "grid", 0, "metres: how coarse --at is told, 100 to 100000 (default 1000)")
	fs.IntVar(days, "days", 0, "for how many days it is shown, 1 to 366 (default 60)")
}

// money reads --amount and --currency.
func (c *ctl) money(cmd *cobra.Command, f *adFlags, space api.Hash) (int64, string, error) {
	if f.amount == "" {
		return 0, f.currency, nil
	}
	cur, n, err := c.amount(cmd, space, f.currency, f.amount)
	return n, cur.Code, err
}

func (c *ctl) marketPost() *cobra.Command {
	var in client.MarketPostIn
	var f adFlags
	cmd := &cobra.Command{
		Use: "post offer|want CATEGORY TITLE", Short: "Offer something to the members of a space, or ask for it", Args: cobra.ExactArgs(3),
		Example: "icnctl market post offer repair \"Bicycle repair\" --text \"All kinds, on Saturdays.\" --amount 12 --area \"Mill Lane\" --at 53.48,-2.24",
	}
	space := spaceFlag(cmd)
	f.add(cmd, &in.Text, &in.Price, &in.Area, &in.Grid, &in.Days)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in.Side, in.Category, in.Title, in.At = args[0], args[1], args[2], f.at
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Amount, in.Currency, err = c.money(cmd, &f, in.Space); err != nil {
			return err
		}
		if in.Images, err = c.images(cmd, in.Space, f.images); err != nil {
			return err
		}
		return write(c, cmd, "market.post", in, c.advertised)
	}
	return cmd
}

func (c *ctl) advertised(o *client.MarketPostOut) {
	c.facts("ad", o.Ad.String())
	if !o.Expires.IsZero() {
		c.facts("shown until", when(o.Expires))
	}
	if o.At != "" {
		c.facts("place, as told", o.At)
	}
	c.receipt(o.Receipt)
}

func (c *ctl) marketEdit() *cobra.Command {
	var in client.MarketEditIn
	var f adFlags
	cmd := &cobra.Command{
		Use: "edit AD", Short: "Change an ad of your own; what is left out stays as it is", Args: cobra.ExactArgs(1),
		Example: "icnctl market edit AD --title \"Bicycle repair and sale\" --clear amount --days 30",
	}
	space := spaceFlag(cmd)
	f.add(cmd, &in.Text, &in.Price, &in.Area, &in.Grid, &in.Days)
	cmd.Flags().StringVar(&in.Title, "title", "", "1 to 80 characters")
	cmd.Flags().StringVar(&in.Category, "category", "", "1 to 32 of a-z 0-9 -")
	cmd.Flags().StringSliceVar(&in.Clear, "clear", nil, "what to empty: amount, price, text, area, at, images")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in.At = f.at
		if in.Space, in.Ad, err = spaceAnd(*space, args[0]); err != nil {
			return err
		}
		if in.Amount, in.Currency, err = c.money(cmd, &f, in.Space); err != nil {
			return err
		}
		if in.Images, err = c.images(cmd, in.Space, f.images); err != nil {
			return err
		}
		return write(c, cmd, "market.edit", in, func(o *client.MarketEditOut) { c.advertised((*client.MarketPostOut)(o)) })
	}
	return cmd
}

// spaceAnd reads the flag --space and an id.
func spaceAnd(space, id string) (s, h api.Hash, err error) {
	if s, err = spaceID(space); err != nil {
		return s, h, err
	}
	h, err = api.ParseHash(id)
	return s, h, err
}

func (c *ctl) marketWithdraw() *cobra.Command {
	var in client.MarketWithdrawIn
	cmd := &cobra.Command{Use: "withdraw AD", Short: "Take an ad of your own back", Args: cobra.ExactArgs(1), Example: "icnctl market withdraw AD --reason taken"}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, on one line")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if in.Space, in.Ad, err = spaceAnd(*space, args[0]); err != nil {
			return err
		}
		return write(c, cmd, "market.withdraw", in, func(o *client.MarketWithdrawOut) { c.receipt(o.Receipt) })
	}
	return cmd
}

func (c *ctl) marketShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show AD", Short: "Show an ad", Args: cobra.ExactArgs(1)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		var in client.MarketShowIn
		if in.Space, in.Ad, err = spaceAnd(*space, args[0]); err != nil {
			return err
		}
		return read(c, cmd, "market.show", in, func(shown *client.MarketShowOut) {
			o := (*client.MarketAd)(shown)
			c.facts(o.Side, o.Title, "category", o.Category, "by", string(o.Author), "price", orNone(price(o)), "area", orNone(o.Area),
				"place", orNone(where(o)), "posted", when(o.Posted), "shown until", when(o.Expires)+expired(o.Expired))
			for _, h := range o.Images {
				c.facts("image", h.String())
			}
			if o.Hidden != nil {
				c.facts("hidden", fmt.Sprintf("by the %s at %s: %s", o.Hidden.Office, when(o.Hidden.Time), o.Hidden.Reason))
			}
			if o.Text != "" {
				fmt.Fprintln(c.out)
				for line := range strings.Lines(o.Text) {
					fmt.Fprintln(c.out, clean(strings.TrimSuffix(line, "\n")))
				}
			}
		})
	}
	return cmd
}

func expired(yes bool) string {
	if yes {
		return " (expired)"
	}
	return ""
}

// price is what an ad says of a price, in words.
func price(o *client.MarketAd) string {
	if o.Amount == 0 {
		return o.Price
	}
	s := formatAmount(o.Amount, o.Scale) + " " + o.Currency
	if o.Price != "" {
		s += ", " + o.Price
	}
	return s
}

func where(o *client.MarketAd) string {
	if o.At == "" {
		return ""
	}
	return fmt.Sprintf("%s, within %d m", o.At, o.Grid)
}

func (c *ctl) marketList() *cobra.Command {
	var in client.MarketListIn
	cmd := &cobra.Command{
		Use: "list [WORDS]", Short: "List and search offers and wants", Args: cobra.ArbitraryArgs,
		Long: "Lists the ads that are open, the newest first. With WORDS those that have all of them, the last of which may be the beginning of one; a word in the title\n" +
			"counts 4, in the category 2, elsewhere 1, and the beginning of a word half as much. Everything is looked up on your own node, also without a connection.",
		Example: "icnctl market list bicycle rep --side offer --near 53.48,-2.24 --km 10",
	}
	space := spaceFlag(cmd)
	author := cmd.Flags().String("author", "", "DID: only this member's")
	cmd.Flags().StringVar(&in.Side, "side", "", "only offers, or only wants: offer or want")
	cmd.Flags().StringVar(&in.Category, "category", "", "only this category")
	cmd.Flags().StringVar(&in.Near, "near", "", "LATITUDE,LONGITUDE: how far away each ad is")
	cmd.Flags().IntVar(&in.Km, "km", 0, "only within so many kilometres of --near")
	cmd.Flags().BoolVar(&in.All, "all", false, "expired ads, too")
	cmd.Flags().StringVar(&in.Sort, "sort", "", "newest, distance (default with --near) or best (default with words)")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in.Text = strings.Join(args, " ")
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Author, err = optionalDID(*author); err != nil {
			return err
		}
		return read(c, cmd, "market.list", in, func(o *client.MarketListOut) {
			var rows [][]string
			for i := range o.Ads {
				a := &o.Ads[i]
				title := a.Title
				if a.Hidden != nil {
					title += " (hidden)"
				}
				rows = append(rows, []string{a.Side, a.Category, title + expired(a.Expired), price(a), a.Area, far(a), tail(a.Author), a.ID.String()})
			}
			c.table("No ads.", "SIDE CATEGORY TITLE PRICE AREA AWAY BY AD", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

// far says how far away an ad is: not finer than it is told.
func far(a *client.MarketAd) string {
	if a.Metres == nil {
		return ""
	}
	return strconv.FormatFloat(float64(*a.Metres)/1000, 'f', 1, 64) + " km"
}

// tail is the end of a DID, enough to tell members apart in a table.
func tail(did api.DID) string { return "..." + string(did[max(0, len(did)-8):]) }

func (c *ctl) marketCategories() *cobra.Command {
	cmd := &cobra.Command{Use: "categories", Short: "List the categories in use, and how many ads each has", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		var in client.MarketCategoriesIn
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "market.categories", in, func(o *client.MarketCategoriesOut) {
			var rows [][]string
			for _, x := range o.Categories {
				rows = append(rows, []string{x.Name, strconv.Itoa(x.Offers), strconv.Itoa(x.Wants)})
			}
			c.table("No ads.", "CATEGORY OFFERS WANTS", rows)
		})
	}
	return cmd
}

func (c *ctl) marketReport() *cobra.Command {
	var in client.MarketReportIn
	cmd := &cobra.Command{
		Use: "report AD REASON", Short: "Tell the moderators that something is wrong with an ad", Args: cobra.ExactArgs(2),
		Long: "Tells the moderators, the registrar and the clerk of the space, that something is wrong with an ad. It is a signed record: every member can read it.",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in.Reason = args[1]
		if in.Space, in.Ad, err = spaceAnd(*space, args[0]); err != nil {
			return err
		}
		return write(c, cmd, "market.report", in, func(o *client.MarketReportOut) { c.receipt(o.Receipt) })
	}
	return cmd
}

func (c *ctl) marketAct(verb, short string) *cobra.Command {
	var in client.MarketHideIn // of both
	cmd := &cobra.Command{Use: verb + " AD REASON", Short: short + " (registrar, clerk)", Args: cobra.ExactArgs(2)}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in.Reason = args[1]
		if in.Space, in.Ad, err = spaceAnd(*space, args[0]); err != nil {
			return err
		}
		return write(c, cmd, "market."+verb, in, func(o *client.MarketReportOut) { c.receipt(o.Receipt) })
	}
	return cmd
}

func (c *ctl) marketModeration() *cobra.Command {
	var in client.MarketModerationIn
	cmd := &cobra.Command{
		Use: "moderation", Short: "List reports of ads and what was done about them", Args: cobra.NoArgs,
		Long: "Lists the ads that were reported or acted on, with every report and act and its reason: the log of moderation, which --json writes for export. With --open those\n" +
			"that were reported since a moderator last acted, the oldest report first: what the moderators have to look at.",
	}
	space := spaceFlag(cmd)
	ad := cmd.Flags().String("ad", "", "only this ad")
	cmd.Flags().BoolVar(&in.Open, "open", false, "only what waits for a moderator")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if *ad != "" {
			if in.Ad, err = api.ParseHash(*ad); err != nil {
				return err
			}
		}
		return read(c, cmd, "market.moderation", in, func(o *client.MarketModerationOut) {
			var rows [][]string
			for _, x := range o.Cases {
				state := "shown"
				if x.Hidden {
					state = "hidden"
				}
				rows = append(rows, []string{state, x.Ad.String(), x.Title, "", "", ""})
				for _, r := range x.Reports {
					rows = append(rows, []string{"", "", "", "report", when(r.Time), tail(r.By) + ": " + r.Reason})
				}
				for _, a := range x.Acts {
					text := fmt.Sprintf("%s (%s): %s", tail(a.By), a.Office, a.Reason)
					if !a.Counts {
						text += " (another act at the same time counts)"
					}
					rows = append(rows, []string{"", "", "", a.Act, when(a.Time), text})
				}
			}
			c.table("Nothing was reported.", "STATE AD TITLE WHAT TIME BY", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) feedCmd() *cobra.Command {
	return group("feed", "What each device has written, how far it is final, and where it was cut", c.feedList(), c.feedAdvise(), c.feedCut(), c.feedClose())
}

func (c *ctl) feedList() *cobra.Command {
	var in client.FeedListIn
	cmd := &cobra.Command{Use: "list", Short: "List the feeds of a topic or of the space", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Topic, "topic", "", "only of this topic, e.g. ledger")
	cmd.Flags().BoolVar(&in.Odd, "odd", false, "only what is forked, closed or cut")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "feed.list", in, func(o *client.FeedListOut) {
			var rows [][]string
			for _, f := range o.Feeds {
				rows = append(rows, []string{
					f.Topic, string(f.Author), f.Device.String(), strconv.FormatUint(f.Seq, 10), strconv.FormatUint(f.Stands, 10), strconv.FormatUint(f.Final, 10), oddities(f),
				})
			}
			c.table("No feeds.", "TOPIC AUTHOR DEVICE RECORDS STAND FINAL ODD", rows)
			if o.More {
				c.note("There are more: name a topic, or --odd.")
			}
		})
	}
	return cmd
}

// oddities says in a few words what is not plain about a feed.
func oddities(f client.FinalityFeedOut) string {
	var words []string
	if f.Fork > 0 {
		words = append(words, fmt.Sprintf("forked at %d", f.Fork))
	}
	if f.Rival > 0 {
		words = append(words, fmt.Sprintf("BOTH BRANCHES FINAL, the other at %d", f.Rival))
	}
	if f.Closed {
		words = append(words, "closed by its owner")
	}
	for _, cut := range f.Cuts {
		word := fmt.Sprintf("cut at %d", cut.At)
		switch {
		case !cut.Final:
			word += " (waits for witnesses)"
		case cut.Cited:
			word += " (goes on)"
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

func (c *ctl) feedCut() *cobra.Command {
	var in client.FeedCutIn
	cmd := &cobra.Command{
		Use: "cut TOPIC DEVICE", Short: "End a device's feed where enough witnesses have seen it (registrar)", Args: cobra.ExactArgs(2),
		Long: "Ends a feed at the highest position that enough witnesses promise to have certified. What lies beyond has no effect, unless it takes the cut into account. " +
			"For a forked feed --adopt chooses a branch, if no other is certified, or --by the one that icnctl feed advise recommends: witnessed, endorsed or earliest.",
	}
	space := spaceFlag(cmd)
	adopt := cmd.Flags().String("adopt", "", "id of a record on the branch of a forked feed to choose")
	cmd.Flags().StringVar(&in.By, "by", "", "of a forked feed, adopt what this recommends: witnessed, endorsed or earliest")
	next := cmd.Flags().String("next", "", "device key that goes on (default: the feed itself)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Topic = args[0]
		if err := in.Device.UnmarshalText([]byte(args[1])); err != nil {
			return api.Errorf("DEVICE", api.Invalid, "%w", err)
		}
		if err := in.Adopt.UnmarshalText([]byte(*adopt)); err != nil {
			return api.Errorf("--adopt", api.Invalid, "%w", err)
		}
		if err := in.Next.UnmarshalText([]byte(*next)); err != nil {
			return api.Errorf("--next", api.Invalid, "%w", err)
		}
		return write(c, cmd, "feed.cut", in, func(o *client.FeedCutOut) {
			c.facts("feed", o.Feed.String(), "cut", strconv.FormatUint(o.Number, 10))
			if !o.Adopt.IsZero() {
				c.facts("adopts", o.Adopt.String())
			}
			c.receipt(o.Receipt)
			c.note("It counts once the witnesses have answered: icnctl feed list --odd.")
		})
	}
	return cmd
}

func (c *ctl) feedAdvise() *cobra.Command {
	var in client.FeedAdviseIn
	cmd := &cobra.Command{
		Use: "advise TOPIC MEMBER|DEVICE|FEED", Short: "List the branches of a forked feed, and which one each strategy would adopt", Args: cobra.ExactArgs(2),
		Long: "Lists what this node has of a forked feed's branches, and which one to adopt by what the witnesses have locked (witnessed), by how many other members have built on it " +
			"(endorsed), or by the clock of who forked (earliest). With --branch and --reason a decision taken elsewhere is listed beside them (governance). This is an opinion " +
			"for the registrar, who cuts the feed: icnctl feed cut with --by or --adopt. Other nodes may have other branches.",
		Example: "icnctl feed advise ledger did:icn:...",
	}
	space := spaceFlag(cmd)
	branch := cmd.Flags().String("branch", "", "id of a record on the branch that was decided on elsewhere, with --reason")
	cmd.Flags().StringVar(&in.Reason, "reason", "", "who decided that, and why")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Topic, in.Of = args[0], args[1]
		if err := in.Branch.UnmarshalText([]byte(*branch)); err != nil {
			return api.Errorf("--branch", api.Invalid, "%w", err)
		}
		return read(c, cmd, "feed.advise", in, func(o *client.FeedAdviseOut) {
			c.facts("feed", o.Feed.String(), "author", string(o.Author), "device", o.Device.String(), "forked at", strconv.FormatUint(o.Fork, 10))
			var rows [][]string
			for _, b := range o.Branches {
				rows = append(rows, []string{
					b.Tip.ID.String(), strconv.FormatUint(b.Tip.Seq, 10), when(b.Time), strconv.Itoa(b.Locks), strconv.FormatUint(b.Certified, 10), strconv.Itoa(b.Endorsers),
				})
			}
			c.table("No branch is here.", "BRANCH ENDS FORKED LOCKS CERTIFIED ENDORSERS", rows)
			rows = nil
			for _, a := range o.Advice {
				choice := a.Branch.String()
				switch {
				case a.Tie:
					choice = "tie"
				case a.Branch.IsZero():
					choice = "none"
				}
				rows = append(rows, []string{a.By, choice, a.Why})
			}
			c.table("No advice.", "BY ADOPT WHY", rows)
		})
	}
	return cmd
}

func (c *ctl) feedClose() *cobra.Command {
	var in client.FeedCloseIn
	cmd := &cobra.Command{
		Use: "close TOPIC", Short: "End your own device's feed of a topic where it is", Args: cobra.ExactArgs(1),
		Long: "Ends the feed that your device writes in TOPIC (ledger, market, security or trust) with its newest record: nothing that counts is taken back, and nothing more is " +
			"accepted, whoever has a copy of the device's key. It needs nobody's consent, and it is for good: you go on with another device, which the registrar gives you.",
		Example: "icnctl feed close ledger",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Topic = args[0]
		return write(c, cmd, "feed.close", in, func(o *client.FeedCloseOut) {
			c.facts("feed", o.Feed.String(), "ends at", strconv.FormatUint(o.At, 10))
			c.receipt(o.Receipt)
			c.note("To go on, ask the registrar for another device: icnctl member device.")
		})
	}
	return cmd
}

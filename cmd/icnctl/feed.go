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
	return group("feed", "What each device has written, how far it is final, and where it was cut", c.feedList(), c.feedCut(), c.feedClose())
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
			"For a forked feed --adopt chooses a branch, if no other is certified.",
	}
	space := spaceFlag(cmd)
	adopt := cmd.Flags().String("adopt", "", "id of a record on the branch of a forked feed to choose")
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
			c.receipt(o.Receipt)
			c.note("It counts once the witnesses have answered: icnctl feed list --odd.")
		})
	}
	return cmd
}

func (c *ctl) feedClose() *cobra.Command {
	var in client.FeedCloseIn
	cmd := &cobra.Command{
		Use: "close TOPIC", Short: "End your own device's feed of a topic where it is", Args: cobra.ExactArgs(1),
		Long: "Ends the feed that your device writes in TOPIC (ledger, security or trust) with its newest record: nothing that counts is taken back, and nothing more is " +
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

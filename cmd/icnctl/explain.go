package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use: "explain RECORD|REFUSAL", Short: "Say what became of a record, or why something was refused", Args: cobra.ExactArgs(1),
		Long: "Says what became of a record, who holds it, and why; or, for the name that an error gave a refusal (no-...), who said no, by which rule, and\n" +
			"what would change it. A refusal is told to who was refused and to the node's operator.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.HasPrefix(args[0], "no-") {
				return read(c, cmd, "refusal.explain", client.RefusalExplainIn{ID: args[0]}, c.showRefusal)
			}
			id, err := api.ParseHash(args[0])
			if err != nil {
				return err
			}
			return read(c, cmd, "record.explain", client.RecordExplainIn{ID: id}, c.showRecord)
		},
	}
}

func (c *ctl) showRecord(o *client.RecordExplainOut) {
	became := verdict(o.Accepted, o.Held, o.Final)
	if o.Waiting {
		became = "waiting"
	}
	c.facts("record", o.Position.ID.String(), "verdict", became, "level", orNone(string(o.Level)), "kind", o.Kind, "topic", o.Topic,
		"author", string(o.Author), "time", when(o.Time), "feed", o.Position.Feed.String(), "seq", strconv.FormatUint(o.Position.Seq, 10))
	for _, who := range o.Holders {
		c.facts("held by", string(who))
	}
	for _, d := range o.Deps {
		c.facts("cites", d.ID.String())
	}
	if o.Reason != nil {
		c.why(o.Reason)
	}
}

func (c *ctl) showRefusal(o *client.RefusalExplainOut) {
	c.facts("refusal", o.ID, "what", o.Action, "kind", o.Kind, "when", when(o.Last), "times", strconv.FormatUint(o.Count, 10))
	for _, who := range o.Who {
		c.facts("who", string(who))
	}
	c.why(&o.Reason)
}

// why shows a reason.
func (c *ctl) why(r *api.Reason) {
	c.facts("why", r.Text, "rule", string(r.Domain)+"/"+r.Rule)
	for _, k := range sortedKeys(r.Inputs) {
		c.facts("  "+k, r.Inputs[k])
	}
	if r.Remedy != "" {
		c.facts("next", r.Remedy)
	}
}

func (c *ctl) refusalCmd() *cobra.Command {
	var in client.RefusalListIn
	list := &cobra.Command{Use: "list", Short: "List what this node has refused, the newest first", Args: cobra.NoArgs}
	who := list.Flags().String("who", "", "only those of this person or node")
	list.Flags().IntVar(&in.Limit, "limit", 0, "how many of the newest, 1 to 500 (default 50)")
	list.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if in.Who, err = optionalDID(*who); err != nil {
			return err
		}
		return read(c, cmd, "refusal.list", in, func(o *client.RefusalListOut) {
			c.refusals("This node has refused nothing since it started.", o.Refusals)
		})
	}
	return group("refusal", "What this node has refused, and why", list)
}

func (c *ctl) peerRefusals() *cobra.Command {
	return &cobra.Command{
		Use: "refusals NODE", Short: "Ask a connected peer what it has refused to this node, and why", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			node, err := did(args[0])
			if err != nil {
				return err
			}
			return read(c, cmd, "peer.refusals", client.PeerRefusalsIn{Node: node}, func(o *client.PeerRefusalsOut) {
				c.refusals("The peer remembers nothing that it has refused to this node.", o.Refusals)
			})
		},
	}
}

func (c *ctl) refusals(none string, all []client.KernelRefusalOut) {
	rows := make([][]string, len(all))
	for i, x := range all {
		who := ""
		if len(x.Who) > 0 { // the others are whom it speaks for
			who = string(x.Who[0])
		}
		rows[i] = []string{x.ID, when(x.Last), strconv.FormatUint(x.Count, 10), x.Action, string(x.Reason.Domain) + "/" + x.Reason.Rule, who, x.Reason.Text}
	}
	c.table(none, "REFUSAL TIME TIMES WHAT RULE WHO WHY", rows)
}

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) securityCmd() *cobra.Command {
	return group("security", "What this node holds against whom, and what follows",
		c.securityList(), c.securityShow(), c.securityReports(), c.securityAppeal(), c.securityPardon())
}

func (c *ctl) securityList() *cobra.Command {
	var in client.SecurityListIn
	cmd := &cobra.Command{
		Use: "list", Short: "List the nodes and authors that this node holds something against", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return read(c, cmd, "security.list", in, func(o *client.SecurityListOut) {
				var rows [][]string
				for _, s := range o.Standings {
					rows = append(rows, []string{string(s.Subject), s.Level, points(s.Points), levelEnds(s), incidents(s)})
				}
				c.table("Nobody is blamed for anything.", "SUBJECT LEVEL POINTS UNTIL INCIDENTS", rows)
				if len(rows) < o.Known {
					c.note("%d more: --limit", o.Known-len(rows))
				}
			})
		},
	}
	cmd.Flags().IntVar(&in.Limit, "limit", 0, "entries, 1 to 500 (default 50)")
	return cmd
}

func points(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

func levelEnds(s client.SecurityStanding) string {
	if s.Until.IsZero() {
		return ""
	}
	return when(s.Until)
}

func incidents(s client.SecurityStanding) string {
	parts := make([]string, len(s.Incidents))
	for i, t := range s.Incidents {
		parts[i] = fmt.Sprintf("%s %d", t.Kind, t.Count)
	}
	return strings.Join(parts, ", ")
}

func (c *ctl) securityShow() *cobra.Command {
	return &cobra.Command{
		Use: "show DID", Short: "Show what this node holds against a node or an author, and what follows", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var in client.SecurityShowIn
			if in.Subject, err = did(args[0]); err != nil {
				return err
			}
			return read(c, cmd, "security.show", in, func(o *client.SecurityShowOut) {
				s := o.Standing
				c.facts("level", s.Level, "points", points(s.Points), "until", orNone(levelEnds(s)), "bans", strconv.Itoa(s.Bans),
					"may connect", yes(o.Connect), "shares spaces", yes(o.Follow), "may push", fmt.Sprintf("%d records/s", o.Pushes), "detail", orNone(s.Detail))
				for _, t := range s.Incidents {
					c.facts("incident", fmt.Sprintf("%s %d, last at %s", t.Kind, t.Count, when(t.Last)))
				}
				for _, f := range s.Forks {
					c.facts("fork", fmt.Sprintf("feed %s at %d", f.Feed, f.Seq))
				}
			})
		},
	}
}

func (c *ctl) securityReports() *cobra.Command {
	var in client.SecurityReportsIn
	cmd := &cobra.Command{Use: "reports", Short: "List reports of forks, appeals and pardons of a space", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	subject := cmd.Flags().String("subject", "", "only what concerns this node or author")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Subject, err = optionalDID(*subject); err != nil {
			return err
		}
		return read(c, cmd, "security.reports", in, func(o *client.SecurityReportsOut) {
			var rows [][]string
			for _, x := range o.Cases {
				what := x.Text
				if x.Kind == "report" {
					what = fmt.Sprintf("feed %s of topic %s is forked at %d", x.Feed.Short(), x.Topic, x.Seq)
				}
				rows = append(rows, []string{when(x.Time), x.Kind, string(x.Subject), string(x.By), what})
			}
			c.table("No reports, appeals or pardons.", "TIME KIND SUBJECT BY TEXT", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) securityAppeal() *cobra.Command {
	var in client.SecurityAppealIn
	cmd := &cobra.Command{
		Use: "appeal TEXT", Short: "Ask the space's clerk to look again at what a node or an author is blamed for", Args: cobra.ExactArgs(1),
		Example: `icnctl security appeal "our disk was broken; it is a new one now" --subject did:icn:...`,
	}
	space := spaceFlag(cmd)
	subject := cmd.Flags().String("subject", "", "DID of the node or author it is about (default: you)")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		in.Text = args[0]
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Subject, err = optionalDID(*subject); err != nil {
			return err
		}
		return write(c, cmd, "security.appeal", in, func(o *client.SecurityAppealOut) { c.receipt(o.Receipt) })
	}
	return cmd
}

func (c *ctl) securityPardon() *cobra.Command {
	var in client.SecurityPardonIn
	cmd := &cobra.Command{
		Use: "pardon DID", Short: "Take back what a node or an author is blamed for", Args: cobra.ExactArgs(1),
		Long: "Takes back what a node or an author is blamed for. The clerk and the registrar of a space do it for all its nodes, by a record; with --local\n" +
			"it concerns this node only, and needs no office.",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Text, "text", "", "why, for those who read the record")
	cmd.Flags().BoolVar(&in.Local, "local", false, "on this node only, without a record")
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Subject, err = did(args[0]); err != nil {
			return err
		}
		return write(c, cmd, "security.pardon", in, func(o *client.SecurityPardonOut) {
			c.note("%s now stands at: %s", in.Subject, o.Level)
			if o.Receipt != nil {
				c.receipt(*o.Receipt)
			}
		})
	}
	return cmd
}

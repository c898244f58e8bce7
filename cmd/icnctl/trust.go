package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) trustCmd() *cobra.Command {
	return group("trust", "Who trusts whom, and how far", c.trustAdd(), c.trustScore(), c.trustList(), c.trustGraph(), c.trustImport())
}

func (c *ctl) trustAdd() *cobra.Command {
	var in client.TrustAddIn
	var score float64
	cmd := &cobra.Command{
		Use: "add DID --score SCORE", Short: "Say how far you trust somebody, -1 to 1; 0 takes it back", Args: cobra.ExactArgs(1),
		Example: "icnctl trust add did:icn:... --score 0.8",
	}
	space := spaceFlag(cmd)
	cmd.Flags().Float64Var(&score, "score", 0, "-1 (distrust) to 1; 0 takes back what you said before")
	cmd.Flags().StringVar(&in.Context, "context", "", "what it is about")
	if err := cmd.MarkFlagRequired("score"); err != nil {
		panic(err) // the flag stands two lines above
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.To, err = did(args[0]); err != nil {
			return err
		}
		if !(score >= -1 && score <= 1) {
			return api.Errorf("--score", api.Invalid, "got %v, want -1 to 1", score)
		}
		in.Score = &score
		return write(c, cmd, "trust.add", in, func(o *client.TrustAddOut) {
			c.note("%s: %v", in.To, score)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) trustScore() *cobra.Command {
	var in client.TrustScoreIn
	cmd := &cobra.Command{Use: "score DID", Short: "Show how somebody stands, and the chains of attestations behind it", Args: cobra.ExactArgs(1)}
	space := spaceFlag(cmd)
	from := cmd.Flags().String("from", "", "DID of who looks (default: you)")
	cmd.Flags().StringVar(&in.Context, "context", "", "count attestations of this context only")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.To, err = did(args[0]); err != nil {
			return err
		}
		if in.From, err = optionalDID(*from); err != nil {
			return err
		}
		return read(c, cmd, "trust.score", in, func(o *client.TrustScoreOut) {
			c.facts("score", number(o.Score), "class", o.Class, "from", string(o.From), "to", string(o.To))
			for _, p := range o.Paths {
				via := "directly"
				if len(p.Via) > 0 {
					people := make([]string, len(p.Via))
					for i, d := range p.Via {
						people[i] = string(d)
					}
					via = "via " + strings.Join(people, ", ")
				}
				c.facts("path", number(p.Weight)+" "+via)
			}
		})
	}
	return cmd
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func (c *ctl) trustList() *cobra.Command {
	var in client.TrustListIn
	cmd := &cobra.Command{Use: "list", Short: "List standing attestations", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	from := cmd.Flags().String("from", "", "only what this DID says")
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.From, err = optionalDID(*from); err != nil {
			return err
		}
		return read(c, cmd, "trust.list", in, func(o *client.TrustListOut) {
			var rows [][]string
			for _, e := range o.Edges {
				rows = append(rows, []string{string(e.From), string(e.To), number(e.Score), e.Context, when(e.Time)})
			}
			c.table("No attestations.", "FROM TO SCORE CONTEXT TIME", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) trustGraph() *cobra.Command {
	cmd := &cobra.Command{Use: "graph", Short: "Count the people, attestations and records of a space", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "trust.graph", client.TrustGraphIn{Space: id}, func(o *client.TrustGraphOut) {
			c.facts("people", strconv.Itoa(o.People), "attestations", strconv.Itoa(o.Edges), "records", strconv.FormatUint(o.Records, 10))
		})
	}
	return cmd
}

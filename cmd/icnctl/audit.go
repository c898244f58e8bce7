package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/node"
)

func (c *ctl) auditCmd() *cobra.Command {
	return group("audit", "Books that somebody else can check", c.auditExport(), c.auditVerify())
}

func (c *ctl) auditExport() *cobra.Command {
	var in client.LedgerAuditIn
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write an auditor's envelope: all exports of a space with the signed records that they come from", Args: cobra.ExactArgs(1),
		Long: "Writes one archive (tar) with the books of the space over a period in all formats, all signed records of the space, and a manifest that your key signs.\n" +
			"Whoever gets it runs `icnctl audit verify`, without a node: every signature is checked, the records are folded again, and each byte of each export is\n" +
			"compared with what comes out. All that members have written in the space is in it: give it to nobody who may not read that.",
		Example: "icnctl audit export --from 2026-01-01 --to 2026-12-31 books-2026.tar",
	}
	space := spaceFlag(cmd)
	period(cmd, &in.From, &in.To, &in.Zone)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return c.download(cmd, "ledger.audit", in, args[0])
	}
	return cmd
}

func (c *ctl) auditVerify() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check an auditor's envelope from end to end, without a node", Args: cobra.ExactArgs(1),
		Long: "Checks the signature of the manifest and of every record, folds the records again, and compares each byte of each export with what comes out. The first\n" +
			"thing that is wrong is named: the file, the line, and what was expected there. It cannot see what was never put in: compare the number of records, or the\n" +
			"closing balances, with what another member has.",
	}
	cmd.Flags().StringVar(&dir, "work-dir", "", "folder for the records while they are folded (default: the system's temporary folder)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := c.context(cmd)
		defer cancel()
		out, err := node.VerifyAudit(ctx, args[0], dir)
		if err != nil {
			return err
		}
		if c.json {
			return c.printValue(out)
		}
		m := &out.Manifest
		from := "the beginning"
		if !m.From.IsZero() {
			from = m.From.Format(time.RFC3339)
		}
		c.facts("envelope", "sound", "space", m.Space.String(), "name", m.Name, "from", from, "to", m.To.Format(time.RFC3339), "zone", m.Zone, "made", when(m.Created),
			"signed by", string(m.DID), "as", out.As, "records", strconv.FormatUint(m.Records, 10))
		for _, t := range m.Totals {
			c.facts("moved", formatAmount(t.In, t.Scale)+" "+t.Currency+" in, "+formatAmount(t.Out, t.Scale)+" out, "+strconv.FormatUint(t.Rows, 10)+" rows")
		}
		return nil
	}
	return cmd
}

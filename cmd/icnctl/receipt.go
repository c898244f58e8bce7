package main

import (
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node"
)

func (c *ctl) ledgerReceipt() *cobra.Command {
	return group("receipt", "Proofs of payments and balances for anybody, without a node", c.ledgerReceiptMake(), c.ledgerReceiptVerify())
}

func (c *ctl) ledgerReceiptMake() *cobra.Command {
	var in client.LedgerReceiptIn
	var whose, path string
	cmd := &cobra.Command{
		Use: "make [PAYMENT]", Short: "Write a receipt that proves, offline, that a payment is final, or what a balance was", Args: cobra.MaximumNArgs(1),
		Long: "Writes a text to print or to hand on, with the proof below: the signed record of the payment, its place in the state of the newest checkpoint, and the\n" +
			"word of the witnesses for that state. Whoever gets it runs `icnctl ledger receipt verify`, without a node, and learns nothing else about the space.\n" +
			"With --balance it shows the balance of an account at that checkpoint instead. Without --out it is printed. The node folds the space for it, which takes\n" +
			"a while in a large one. What is newer than the checkpoint has to wait for the next one: icnctl space checkpoint list.",
		Example: "icnctl ledger receipt make 7d1f... --out rent.txt\nicnctl ledger receipt make --balance hours --out balance.txt",
	}
	space := spaceFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&path, "out", "", "file to write; none is replaced")
	f.IntVar(&in.Leg, "leg", 0, "which payment of a record with several, from 0")
	f.StringVar(&in.Currency, "balance", "", "instead of a payment: the currency whose balance is to be shown")
	f.StringVar(&whose, "account", "", "a DID, or office:treasury (default: your own)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if len(args) > 0 {
			if in.ID, err = api.ParseHash(args[0]); err != nil {
				return err
			}
		}
		if whose != "" {
			if in.DID, err = account(whose); err != nil {
				return err
			}
		}
		return c.download(cmd, "ledger.receipt", in, path)
	}
	return cmd
}

func (c *ctl) ledgerReceiptVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a receipt from end to end, without a node", Args: cobra.ExactArgs(1),
		Long: "Checks every signature, that enough witnesses of the space have signed the state, that the payment or balance is in it, and each letter of the text. The\n" +
			"first thing that is wrong is named. It cannot know which space you mean: compare the id with one that you have from elsewhere.",
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := c.context(cmd)
		defer cancel()
		p, err := node.VerifyReceipt(ctx, args[0])
		if err != nil {
			return err
		}
		if c.json {
			return c.printValue(p)
		}
		amount := formatAmount(p.Amount, p.Scale) + " " + p.Currency
		if m := p.Payment; m != nil {
			c.facts("receipt", "sound", "amount", amount, "from", string(m.From), "to", string(m.To), "time", when(m.Time), "memo", clean(m.Memo), "payment", m.ID.String())
		} else {
			c.facts("receipt", "sound", "account", string(p.Account), "balance", amount)
		}
		c.facts("space", p.Space.String(), "name", clean(p.Name), "checkpoint", strconv.FormatUint(p.Checkpoint.Number, 10)+" of "+p.Checkpoint.Time.UTC().Format(time.RFC3339),
			"witnesses", strconv.Itoa(len(p.Checkpoint.Signed))+" of "+strconv.Itoa(p.Checkpoint.Of)+" have signed it")
		return nil
	}
	return cmd
}

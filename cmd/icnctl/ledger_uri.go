package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) ledgerURI() *cobra.Command {
	return group("uri", "Payment links: who is to be paid, and how much, as a text for a QR code or a message", c.uriMake(), c.uriRead())
}

func (c *ctl) uriMake() *cobra.Command {
	var in client.LedgerUriMakeIn
	var request, picture string
	var draw bool
	cmd := &cobra.Command{
		Use: "make [AMOUNT]", Short: "Make a link by which others pay you", Args: cobra.MaximumNArgs(1),
		Example: "icnctl ledger uri make 2.50 --memo \"coffee\" --qr",
	}
	space := spaceFlag(cmd)
	currencyFlag(cmd, &in.Currency)
	cmd.Flags().StringVar(&in.Memo, "memo", "", "what it is for, one line")
	cmd.Flags().StringVar(&request, "request", "", "id of a request that is paid by it")
	cmd.Flags().BoolVar(&draw, "qr", false, "draw it as a QR code, too")
	cmd.Flags().StringVar(&picture, "png", "", "write the QR code to this file; none is replaced")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if request != "" {
			if in.Request, err = recordArg("--request", request); err != nil {
				return err
			}
		}
		cur, err := c.currency(cmd, in.Space, in.Currency)
		if err != nil {
			return err
		}
		in.Currency = cur.Code
		if len(args) == 1 {
			if in.Amount, err = parseAmount(args[0], cur.Scale, cur.Code); err != nil {
				return err
			}
		}
		var shown error
		err = read(c, cmd, "ledger.uri.make", in, func(o *client.LedgerUriMakeOut) {
			c.facts("uri", o.URI)
			shown = c.showQR(o.URI, draw, picture)
		})
		return errors.Join(err, shown)
	}
	return cmd
}

func (c *ctl) uriRead() *cobra.Command {
	var in client.LedgerUriReadIn
	cmd := &cobra.Command{
		Use: "read URI", Short: "Read and check a payment link", Args: cobra.ExactArgs(1), Example: "icnctl ledger uri read 'icn:pay?to=...'",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.URI = args[0]
		return read(c, cmd, "ledger.uri.read", in, func(o *client.LedgerUriReadOut) {
			amount := "as the payer likes"
			if o.Amount > 0 {
				amount = formatAmount(o.Amount, o.Scale) + " " + o.Currency
			}
			facts := []string{"to", string(o.To), "amount", amount, "currency", o.Currency, "space", o.Name + " " + o.Space.String(), "memo", o.Memo}
			if !o.Request.IsZero() {
				facts = append(facts, "request", o.Request.String())
			}
			c.facts(facts...)
		})
	}
	return cmd
}

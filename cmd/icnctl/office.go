package main

import (
	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) officeCmd() *cobra.Command {
	return group("office", "Who acts for a space: its registrar, clerk and treasury (see also icnctl space show)", c.officeHand())
}

func (c *ctl) officeHand() *cobra.Command {
	var in client.OfficeHandIn
	cmd := &cobra.Command{
		Use: "hand OFFICE DID DEVICE", Short: "Give an office to another holder (registrar)", Args: cobra.ExactArgs(3),
		Long: "Gives an office to another holder: OFFICE is registrar, clerk or treasury, DID and DEVICE are what the new holder's `icnctl id show` prints. What the holder " +
			"before has done stays; nothing more that they do for the office counts. The registrar's own office passes with the numbers of its admissions and " +
			"cuts, to a device that has never held it.",
		Example: "icnctl office hand clerk did:icn:... 5f0c...",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Office = args[0]
		if in.DID, err = did(args[1]); err != nil {
			return err
		}
		if err := in.Device.UnmarshalText([]byte(args[2])); err != nil {
			return api.Errorf("DEVICE", api.Invalid, "%w", err)
		}
		return write(c, cmd, "office.hand", in, func(o *client.OfficeHandOut) {
			c.note("%s is %s now, number %d; before it was %s.", in.DID, in.Office, o.Number, o.Before)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

package main

import (
	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) officeCmd() *cobra.Command {
	return group("office", "Who acts for a space: its registrar, clerk and treasury (see also icnctl space show)", c.officeHand(), c.officeReplace())
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

func (c *ctl) officeReplace() *cobra.Command {
	var in client.OfficeReplaceIn
	cmd := &cobra.Command{
		Use: "replace REGISTRAR DID DEVICE", Short: "Put a member in the place of a registrar who has fallen silent (witnesses, and the new registrar)", Args: cobra.ExactArgs(3),
		Long: "Replaces REGISTRAR, whose node is gone, without its help, by DID and its DEVICE. People agree on a member; each witness's node is then asked to vote for it, and the member's own node, " +
			"asked last, takes the votes up when they are enough. What the witnesses have certified of the silent registrar stays; nothing more that it does for the " +
			"office counts. If the votes are split, --again calls another ballot. It cannot work where the registrar's own device is needed to make things final.",
		Example: "icnctl office replace did:icn:SILENT did:icn:NEXT 5f0c...",
	}
	space := spaceFlag(cmd)
	cmd.Flags().BoolVar(&in.Again, "again", false, "call another ballot, though witnesses have voted for somebody else")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Silent, err = did(args[0]); err != nil {
			return err
		}
		if in.DID, err = did(args[1]); err != nil {
			return err
		}
		if err := in.Device.UnmarshalText([]byte(args[2])); err != nil {
			return api.Errorf("DEVICE", api.Invalid, "%w", err)
		}
		return write(c, cmd, "office.replace", in, func(o *client.OfficeReplaceOut) {
			switch {
			case o.Taken:
				c.note("%s takes office as registrar number %d once that is final: icnctl space show.", in.DID, o.Number)
			default:
				c.note("%d of %d votes for %s, in ballot %d.", o.Votes, o.Need, in.DID, o.Ballot)
			}
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

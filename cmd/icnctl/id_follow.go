package main

import (
	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

func (c *ctl) idFollowCmd() *cobra.Command {
	var in client.KeyFollowIn
	cmd := &cobra.Command{
		Use: "follow", Short: "On a new device: come back into a space, which follows the key event log", Args: cobra.NoArgs,
		Long: "Makes the node follow a space in which its DID is a member with another device, shows it the key event log, and waits until the registrar has\n" +
			"followed that. Membership, balances and open matters are then this device's, and the device before is cut. Only a rotation or a recovery moves a\n" +
			"member; a recovery waits first: `icnctl id recover status`.",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Address, "peer", "", "address of a node of the space, icn://<node did>@host:port (default: the peers that this node has)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return write(c, cmd, "key.follow", in, func(o *client.KeyFollowOut) {
			c.facts("space", o.Space.String(), "name", clean(o.Name), "device", o.Device.String(), "acts here", yes(o.Acts))
			if o.Second {
				c.note("This is a second device of yours. It spends what the primary one sets aside for it: icnctl ledger allot DEVICE AMOUNT there.")
			}
			if o.Recovery != nil {
				c.recovery(o.Recovery)
			}
		})
	}
	return cmd
}

func (c *ctl) recovery(r *client.KeysRecovery) {
	c.facts("recovery", r.Event.String(), "member", string(r.DID), "new key", r.Key.String(), "state", r.State)
	if r.State == "waits" {
		c.facts("takes effect", when(r.Due))
	}
}

func (c *ctl) idLogCmd() *cobra.Command {
	var in client.KeyLogIn
	cmd := &cobra.Command{
		Use: "log DID", Short: "Print the newest key event log of a DID that this node has, for `icnctl id restore` elsewhere", Args: cobra.ExactArgs(1),
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.DID, err = did(args[0]); err != nil {
			return err
		}
		ctx, cancel := c.context(cmd)
		defer cancel()
		_, o, err := ask[client.KeyLogOut](ctx, c, "key.log", in)
		if err != nil {
			return err
		}
		l, err := record.ParseLog(o.Log) // the daemon may be another's
		if err != nil {
			return err
		}
		return c.printLog(l)
	}
	return cmd
}

func (c *ctl) recoverStatusCmd() *cobra.Command {
	var in client.KeyRecoveriesIn
	cmd := &cobra.Command{
		Use: "status [DID]", Short: "List recoveries in a space: which wait, until when, which were vetoed", Args: cobra.MaximumNArgs(1),
		Long: "Times are those of the witnesses' clocks. Whoever holds the key in charge can object while a recovery waits: `icnctl id recover veto`.",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if len(args) > 0 {
			if in.DID, err = did(args[0]); err != nil {
				return err
			}
		}
		return read(c, cmd, "key.recoveries", in, func(o *client.KeyRecoveriesOut) {
			var rows [][]string
			for _, r := range o.Recoveries {
				due := ""
				if !r.Due.IsZero() {
					due = when(r.Due)
				}
				rows = append(rows, []string{r.Event.String(), string(r.DID), r.State, due})
			}
			c.table("No recoveries.", "RECOVERY MEMBER STATE EFFECT", rows)
		})
	}
	return cmd
}

func (c *ctl) recoverVetoCmd() *cobra.Command {
	var in client.KeyVetoIn
	cmd := &cobra.Command{
		Use: "veto RECOVERY", Short: "Object to a recovery of this DID, with the key in charge", Args: cobra.ExactArgs(1),
		Long: "For the owner, who has lost nothing: signs with the key in charge out of the keystore, and brings the objection to the space through the daemon.\n" +
			"RECOVERY is what `icnctl id recover status` prints. If that key may be in other hands, rotate instead: `icnctl id rotate`.",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Event, err = api.ParseHash(args[0]); err != nil {
			return err
		}
		err = c.withKeystore(false, func(id *identity.Identity) error {
			in.Signature, err = id.Veto(in.Event)
			return err
		})
		if err != nil {
			return err
		}
		return write(c, cmd, "key.veto", in, func(o *client.KeyVetoOut) {
			c.note("The space has the objection; the registrar confirms it: icnctl id recover status")
			c.receipt(o.Receipt)
		})
	}
	c.passphraseFlag(cmd)
	return cmd
}

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) spaceCmd() *cobra.Command {
	return group("space", "Co-operatives, communities and other circles that share records",
		c.spaceCreate(), c.spaceList(), c.spaceShow(), c.spaceWitness(), c.checkpointCmd(), c.spaceInvite(), c.spaceJoin())
}

func (c *ctl) spaceCreate() *cobra.Command {
	var in client.SpaceCreateIn
	var scale, faulty, threshold int
	var limit, credit string
	var witnesses []string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Found a space and print its id", Args: cobra.ExactArgs(1),
		Example: "icnctl space create \"Mill Lane\" --currency hours --scale 2 --default-limit 100\nicnctl space create \"Mill Lane\" --credit conservative",
		RunE: func(cmd *cobra.Command, args []string) error {
			in.Name, in.Scale = args[0], &scale
			if credit != "" && limit == "" {
				var err error
				if limit, err = c.presetStart(cmd, credit); err != nil {
					return err
				}
			}
			if in.Gift && (limit != "" || credit != "") {
				return api.Errorf("--gift", api.Invalid, "a gift currency has no limits: leave --default-limit and --credit out")
			}
			if limit != "" {
				if scale < 0 || scale > 6 {
					return api.Errorf("--scale", api.Invalid, "got %d, want 0 to 6", scale)
				}
				minor, err := parseAmount(limit, scale, in.Currency)
				if err != nil {
					return err
				}
				in.DefaultLimit = &minor
			}
			var err error
			if in.Witnesses, err = devices(witnesses); err != nil {
				return err
			}
			if cmd.Flags().Changed("faulty") {
				in.Faulty = &faulty
			}
			if cmd.Flags().Changed("threshold") {
				in.Threshold = &threshold
			}
			return c.found(cmd, in, credit)
		},
	}
	f := cmd.Flags()
	f.StringVar(&in.Kind, "kind", "cooperative", "cooperative, community, federation or personal")
	f.StringVar(&in.Currency, "currency", "hours", "code of its currency")
	f.IntVar(&scale, "scale", 2, "decimals of the currency, 0 to 6")
	f.StringVar(&credit, "credit", "", "credit policy to begin with: conservative or permissive (icnctl ledger policy presets); a new member's limit is its start, unless you say --default-limit")
	f.StringVar(&limit, "default-limit", "", "how far a member may go below zero, in the currency (default 10000 of its smallest unit)")
	f.StringArrayVar(&witnesses, "witness", nil, "device key of a further witness, who has to join; repeat for more")
	f.IntVar(&faulty, "faulty", 0, "how many witnesses may lie without harm (default a third of the others)")
	f.IntVar(&threshold, "threshold", 0, "how many witnesses make a record final (default the fewest that are safe)")
	f.BoolVar(&in.Gift, "gift", false, "gift mode: the currency counts what members do for each other; no limits, no balances")
	f.BoolVar(&in.Test, "test", false, "a space for trying things out; the mark is never taken off")
	return cmd
}

// devices reads the values of --witness.
func devices(texts []string) (keys []api.Key, err error) {
	for _, w := range texts {
		var k api.Key
		if err := k.UnmarshalText([]byte(w)); err != nil || k == (api.Key{}) {
			return nil, api.Errorf("--witness", api.Invalid, "got %q, want a device key of 64 hexadecimal digits: `icnctl id show` on the witness's node prints it", w)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (c *ctl) spaceWitness() *cobra.Command {
	var in client.SpaceWitnessIn
	var faulty, threshold int
	var witnesses []string
	cmd := &cobra.Command{
		Use: "witness", Short: "Name the witnesses that follow on those in force", Args: cobra.NoArgs,
		Long: "Names all witnesses from then on, those that stay and those that are new; whoever is not named leaves. They are in force once enough of the " +
			"witnesses before them have confirmed it and closed their books, which takes seconds while those run: `icnctl space show` tells. A witness " +
			"whose disk was lost or restored from a backup must come back with a new device, as a new witness.",
		Example: "icnctl space witness --witness DEVICE --witness DEVICE --witness DEVICE --threshold 2",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.Witnesses, err = devices(witnesses); err != nil {
			return err
		}
		if cmd.Flags().Changed("faulty") {
			in.Faulty = &faulty
		}
		if cmd.Flags().Changed("threshold") {
			in.Threshold = &threshold
		}
		return write(c, cmd, "space.witness", in, func(o *client.SpaceWitnessOut) {
			c.note("Witness epoch %d is named; it begins when the witnesses in force have closed theirs (icnctl space show).", o.Epoch)
			c.receipt(o.Receipt)
		})
	}
	f := cmd.Flags()
	f.StringArrayVar(&witnesses, "witness", nil, "device key of a witness, who has to have joined; repeat for each")
	f.IntVar(&faulty, "faulty", 0, "how many witnesses may lie without harm (default a third of the others)")
	f.IntVar(&threshold, "threshold", 0, "how many witnesses make a record final (default the fewest that are safe)")
	return cmd
}

func (c *ctl) spaceList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the spaces that this node follows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return read(c, cmd, "space.list", nil, func(o *client.SpaceListOut) {
				var rows [][]string
				for _, s := range o.Spaces {
					rows = append(rows, []string{s.Space.String(), s.Name, s.Kind, strconv.FormatInt(s.Members, 10), currencies(s.Currencies), yes(s.Test)})
				}
				c.table("This node follows no space: `icnctl space create` founds one, `icnctl space join` joins one.", "SPACE NAME KIND MEMBERS CURRENCIES TEST", rows)
			})
		},
	}
}

func currencies(cs []client.MembershipCurrency) string {
	var codes []string
	for _, c := range cs {
		codes = append(codes, c.Code)
	}
	return orNone(strings.Join(codes, ","))
}

func (c *ctl) spaceShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show what a space is", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "space.show", client.SpaceShowIn{Space: id}, func(o *client.SpaceShowOut) {
			c.facts("space", o.Space.String(), "name", o.Name, "kind", o.Kind, "test", yes(o.Test), "members", strconv.FormatInt(o.Members, 10))
			for _, cur := range o.Currencies {
				if cur.Gift {
					c.facts("currency", fmt.Sprintf("%s, %d decimals, for gifts: no limits, no balances", cur.Code, cur.Scale))
					continue
				}
				c.facts("currency", fmt.Sprintf("%s, %d decimals, limit %s unless granted otherwise", cur.Code, cur.Scale, formatAmount(cur.DefaultLimit, cur.Scale)))
			}
			for _, f := range o.Founders {
				c.facts("founder", string(f))
			}
			for _, w := range o.Words {
				last := "nothing of it has come here"
				if !w.Time.IsZero() {
					last = "last wrote " + when(w.Time)
				}
				c.facts("witness", w.Device.String()+", "+last)
			}
			for _, w := range o.Next {
				c.facts("next witness", w.String())
			}
			c.facts("witness epoch", strconv.FormatUint(o.Epoch, 10))
			c.facts("threshold", fmt.Sprintf("%d of %d witnesses make a record final", o.Threshold, len(o.Witnesses)))
			for _, of := range o.Offices {
				c.facts("office", of.Name+" is held by "+string(of.DID))
			}
		})
	}
	return cmd
}

func (c *ctl) spaceInvite() *cobra.Command {
	var in client.SpaceInviteIn
	cmd := &cobra.Command{
		Use: "invite", Short: "Print an invitation; whoever has its text may join", Args: cobra.NoArgs,
	}
	space := spaceFlag(cmd)
	cmd.Flags().Uint32Var(&in.Uses, "uses", 1, "how many may join with it, 1 to 10000")
	cmd.Flags().IntVar(&in.ExpiresHours, "expires-hours", 72, "hours until it expires, 1 to 8760")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return write(c, cmd, "space.invite", in, func(o *client.SpaceInviteOut) {
			fmt.Fprintln(c.out, o.Invitation)
			c.note("This is a secret: whoever has it may join, until %s.", when(o.Expires))
		})
	}
	return cmd
}

func (c *ctl) spaceJoin() *cobra.Command {
	return &cobra.Command{
		Use: "join INVITATION", Short: "Join a space with an invitation and wait to be admitted", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return write(c, cmd, "space.join", client.SpaceJoinIn{Invitation: args[0]}, func(o *client.SpaceJoinOut) {
				fmt.Fprintln(c.out, o.Space)
				if o.Member {
					c.note("You are a member of %s.", clean(o.Name))
				} else {
					c.note("Asked to join %s; not admitted yet.", clean(o.Name))
				}
			})
		},
	}
}

func (c *ctl) memberCmd() *cobra.Command {
	return group("member", "The members of a space", c.memberList(), c.memberProfile(), c.memberAdd(), c.memberDevice(), c.memberRemove())
}

func (c *ctl) memberList() *cobra.Command {
	var in client.MemberListIn
	cmd := &cobra.Command{Use: "list", Short: "List the members of a space", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	page(cmd, &in.Limit, &in.Cursor)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "member.list", in, func(o *client.MemberListOut) {
			var rows [][]string
			for _, m := range o.Members {
				rows = append(rows, []string{orNone(m.Name), string(m.DID), m.Device.String(), when(m.Since), yes(m.Founder)})
			}
			c.table("No members.", "NAME MEMBER DEVICE SINCE FOUNDER", rows)
			c.more(o.Cursor)
		})
	}
	return cmd
}

func (c *ctl) memberProfile() *cobra.Command {
	var in client.MemberProfileIn
	cmd := &cobra.Command{
		Use: "profile NAME", Short: "Say how you want to be called", Args: cobra.ExactArgs(1),
		Long: "Says how you want to be called, in lists and statements, beside your DID. A name proves nothing: members may share one, and money goes to the DID.\n" +
			"Every member can read it. It replaces all that you said before.",
		Example: "icnctl member profile 'Ana Souza' --area Vale --about 'bread, bicycles'",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.About, "about", "", "what others may want to know of you, one line")
	cmd.Flags().StringVar(&in.Area, "area", "", "where you are to be found")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		in.Name = args[0]
		return write(c, cmd, "member.profile", in, func(o *client.MemberProfileOut) {
			c.note("You are shown as %s.", clean(in.Name))
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

// page adds the flags of a list.
func page(cmd *cobra.Command, limit *int, cursor *string) {
	cmd.Flags().IntVar(limit, "limit", 0, "entries of a page (default: the operation's own)")
	cmd.Flags().StringVar(cursor, "cursor", "", "where the page before ended")
}

func (c *ctl) memberAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "add DID DEVICE", Short: "Admit a member without an invitation", Args: cobra.ExactArgs(2),
		Long: "Admits a member without an invitation. DID and device are what the new member's `icnctl id show` prints.",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in := client.MemberAddIn{}
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.DID, err = did(args[0]); err != nil {
			return err
		}
		if err := in.Device.UnmarshalText([]byte(args[1])); err != nil {
			return api.Errorf("DEVICE", api.Invalid, "%w", err)
		}
		return write(c, cmd, "member.add", in, func(o *client.MemberAddOut) {
			c.note("%s is a member.", in.DID)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) memberDevice() *cobra.Command {
	cmd := &cobra.Command{
		Use: "device DID DEVICE", Short: "Give a member another device instead of a lost or stolen one", Args: cobra.ExactArgs(2),
		Long: "Gives a member another device. All that the device before has written is cut where the witnesses have seen it; the new one goes on from there, " +
			"with its balances and debts. DEVICE is what `icnctl id show` prints on the new device, which must have been made from the member's root key.",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in := client.MemberDeviceIn{}
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.DID, err = did(args[0]); err != nil {
			return err
		}
		if err := in.Device.UnmarshalText([]byte(args[1])); err != nil {
			return api.Errorf("DEVICE", api.Invalid, "%w", err)
		}
		return write(c, cmd, "member.device", in, func(o *client.MemberDeviceOut) {
			c.note("%s acts with %s; %d feeds of %s are being cut (icnctl feed list --odd).", in.DID, in.Device, len(o.Cuts), o.Before)
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

func (c *ctl) memberRemove() *cobra.Command {
	var in client.MemberRemoveIn
	cmd := &cobra.Command{
		Use: "remove DID", Short: "Remove a member (registrar)", Args: cobra.ExactArgs(1),
		Long: "Removes a member. What is final stays, and the balance with it: what is owed is owed. All that the member has written is cut where the witnesses have seen it; " +
			"nothing that comes later counts, and the member's node gets nothing more. `icnctl member add` admits again, under a new number and with the old balance.",
		Example: "icnctl member remove did:icn:... --reason 'moved away'",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&in.Reason, "reason", "", "why, for all members to read (required)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		if in.DID, err = did(args[0]); err != nil {
			return err
		}
		return write(c, cmd, "member.remove", in, func(o *client.MemberRemoveOut) {
			c.note("%s is no member any more; %d feeds are being cut (icnctl feed list --odd).", in.DID, len(o.Cuts))
			c.receipt(o.Receipt)
		})
	}
	return cmd
}

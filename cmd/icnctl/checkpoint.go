package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) checkpointCmd() *cobra.Command {
	cmd := group("checkpoint", "To what state all that is final comes, signed by the witnesses", c.checkpointCreate(), c.checkpointList(), c.checkpointShow(), c.checkpointVerify())
	cmd.Long = "A checkpoint says to what state all records come that are final at some moment. Each witness folds them anew, beside its state, and signs what it has found.\n" +
		"Once enough have found the same it stands. A witness that finds something else says so: then look, before anybody relies on a balance."
	return cmd
}

func (c *ctl) checkpointCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Have the witnesses sign to what state all that is final comes (registrar)", Args: cobra.NoArgs,
		Long: "Folds all that is final anew and asks the witnesses to do the same. It may take a while in a large space; the node goes on meanwhile. " +
			"All witnesses should run one version of the software: another one may keep its state in other rows, and find another digest for that alone.",
	}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return write(c, cmd, "space.checkpoint.create", client.SpaceCheckpointCreateIn{Space: id}, func(o *client.SpaceCheckpointCreateOut) {
			c.facts("checkpoint", strconv.FormatUint(o.Number, 10), "records", strconv.FormatUint(o.Records, 10), "digest", o.Digest.String())
			c.receipt(o.Receipt)
			c.note("It stands once enough witnesses have found the same: icnctl space checkpoint show.")
		})
	}
	return cmd
}

func (c *ctl) checkpointList() *cobra.Command {
	var in client.SpaceCheckpointListIn
	cmd := &cobra.Command{Use: "list", Short: "List checkpoints, the newest first", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.Flags().Uint64Var(&in.Before, "before", 0, "only those with a lower number")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		return read(c, cmd, "space.checkpoint.list", in, func(o *client.SpaceCheckpointListOut) {
			var rows [][]string
			for _, p := range o.Checkpoints {
				rows = append(rows, []string{
					strconv.FormatUint(p.Number, 10), when(p.Time), strconv.FormatUint(p.Records, 10), p.Digest.Short(),
					checkpointStanding(p.Stands, p.Signed, p.Need, p.Differ),
				})
			}
			c.table("No checkpoints: the registrar makes one with `icnctl space checkpoint create`.", "NUMBER TIME RECORDS DIGEST SIGNED", rows)
			if o.More {
				c.note("There are older ones: --before %d.", o.Checkpoints[len(o.Checkpoints)-1].Number)
			}
		})
	}
	return cmd
}

// checkpointStanding says in a few words what witnesses have made of a checkpoint.
func checkpointStanding(stands bool, signed, need, differ int) string {
	text := fmt.Sprintf("%d signed, %d needed", signed, need)
	if stands {
		text += ", stands"
	}
	if differ > 0 {
		text += fmt.Sprintf(", %d found ANOTHER STATE", differ)
	}
	return text
}

// checkpointIn adds what names a checkpoint to a command.
func checkpointIn(cmd *cobra.Command) func(args []string) (api.Hash, uint64, error) {
	space := spaceFlag(cmd)
	cmd.Args = cobra.MaximumNArgs(1)
	return func(args []string) (id api.Hash, number uint64, err error) {
		if len(args) > 0 {
			if number, err = strconv.ParseUint(args[0], 10, 64); err != nil || number == 0 {
				return id, 0, api.Errorf("NUMBER", api.Invalid, "got %q, want the number of a checkpoint, from 1", args[0])
			}
		}
		id, err = spaceID(*space)
		return id, number, err
	}
}

func (c *ctl) checkpointShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show [NUMBER]", Short: "Show a checkpoint, by default the newest that stands"}
	named := checkpointIn(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, number, err := named(args)
		if err != nil {
			return err
		}
		return read(c, cmd, "space.checkpoint.show", client.SpaceCheckpointShowIn{Space: id, Number: number}, func(o *client.SpaceCheckpointShowOut) {
			c.facts("checkpoint", strconv.FormatUint(o.Number, 10), "time", when(o.Time), "records", strconv.FormatUint(o.Records, 10), "digest", o.Digest.String(),
				"signed", checkpointStanding(o.Stands, o.Signed, o.Need, o.Differ))
			for _, k := range o.Checks {
				found := "found the same"
				if !k.Same {
					found = "found " + k.Digest.String() + ": " + strings.Join(k.Apps, ", ")
				}
				c.facts("witness", k.Device.String()+" "+clean(found))
			}
			for _, a := range o.Apps {
				c.facts("app", clean(a.App)+" "+a.Digest.String())
			}
		})
	}
	return cmd
}

func (c *ctl) checkpointVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify [NUMBER]", Short: "Fold this node's records of a checkpoint anew and compare",
		Long: "Folds the records that a checkpoint covers, by default the newest that stands, from this node's store and compares the state with what the witnesses " +
			"have signed. Needs nobody's word but theirs: a node that has just caught up, or was restored from a snapshot, knows then that it holds what they hold.",
	}
	named := checkpointIn(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, number, err := named(args)
		if err != nil {
			return err
		}
		var bad error
		err = read(c, cmd, "space.checkpoint.verify", client.SpaceCheckpointVerifyIn{Space: id, Number: number}, func(o *client.SpaceCheckpointVerifyOut) {
			c.facts("checkpoint", strconv.FormatUint(o.Number, 10), "records", strconv.FormatUint(o.Records, 10), "digest", o.Digest.String(), "here", o.Here.String(),
				"signed", checkpointStanding(o.Stands, o.Signed, o.Need, o.Differ))
			if o.OK {
				c.note("This node's records come to the same state.")
				return
			}
			bad = api.Errorf("space.checkpoint.verify", api.Conflict, "this node's records come to another state than checkpoint %d: first in app %s", o.Number, firstOf(o.Apps))
		})
		if err != nil {
			return err
		}
		return bad
	}
	return cmd
}

func firstOf(names []string) string {
	if len(names) == 0 {
		return "none of those that it names"
	}
	return clean(names[0])
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) eventCmd() *cobra.Command {
	return group("event", "What happens, as it happens", c.eventStream(), c.eventTypes())
}

func (c *ctl) eventStream() *cobra.Command {
	var in client.EventStreamIn
	cmd := &cobra.Command{
		Use: "stream", Short: "Show what happens, one event a line", Args: cobra.NoArgs,
		Long: "Shows what happens from now on, until it is interrupted; with --after, first what has happened since that cursor (\"begin\": since the\n" +
			"node began). With --json each line is one object, with the cursor to go on from.",
	}
	space := spaceFlag(cmd)
	cmd.Flags().Lookup("space").Usage = "id of the space (default: all that this node follows, and the node itself)"
	cmd.Flags().StringSliceVar(&in.Types, "type", nil, "only these types, such as ledger.transferred, or all of an app: ledger.*")
	cmd.Flags().StringVar(&in.After, "after", "", "cursor of the last event that was seen, or begin")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := c.context(cmd)
		defer cancel()
		var err error
		if in.Space, err = spaceID(*space); err != nil {
			return err
		}
		conn, err := c.connect(ctx)
		if err != nil {
			return err
		}
		err = conn.Stream(ctx, "event.stream", in, func(raw json.RawMessage) error {
			if c.json {
				return c.print(append(raw, '\n'))
			}
			var e client.EventStreamItem
			if err := json.Unmarshal(raw, &e); err != nil {
				return api.Errorf("event.stream", api.Unsupported, "the item does not fit: %w", err)
			}
			if e.Type == "event.mark" {
				c.note("%s  %s", e.Cursor, e.Data)
				return nil
			}
			line := fmt.Sprintf("%s  %s  %-20s  %s", when(e.Time), e.Cursor, e.Type, bytes.TrimSpace(e.Data))
			return c.print([]byte(clean(line) + "\n"))
		})
		// An interrupt is how one stops following.
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return nil
		}
		return err
	}
	return cmd
}

func (c *ctl) eventTypes() *cobra.Command {
	return &cobra.Command{
		Use: "types", Short: "List the types of events", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return read(c, cmd, "event.types", nil, func(o *client.EventTypesOut) {
				var rows [][]string
				for _, t := range o.Types {
					var fields []string
					for _, f := range t.Data {
						fields = append(fields, f.Name)
					}
					rows = append(rows, []string{t.Name, t.Scope, strings.Join(fields, ","), t.Summary})
				}
				c.table("No events.", "TYPE SCOPE DATA SUMMARY", rows)
			})
		},
	}
}

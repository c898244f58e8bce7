package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) topicCmd() *cobra.Command {
	return group("topic", "The records themselves", c.topicList(), c.topicTail())
}

func (c *ctl) topicList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the topics of a space", Args: cobra.NoArgs}
	space := spaceFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		return read(c, cmd, "topic.list", client.TopicListIn{Space: id}, func(o *client.TopicListOut) {
			var rows [][]string
			for _, t := range o.Topics {
				rows = append(rows, []string{t.Topic, strconv.Itoa(t.Feeds), strconv.FormatUint(t.Records, 10)})
			}
			c.table("No topics.", "TOPIC FEEDS RECORDS", rows)
		})
	}
	return cmd
}

func (c *ctl) topicTail() *cobra.Command {
	var in client.TopicTailIn
	cmd := &cobra.Command{
		Use: "tail TOPIC", Short: "Show the records of a topic, one a line", Args: cobra.ExactArgs(1),
		Long: "Shows the newest records of a topic, <space>/<name> or, when the node follows one space, only the name. With --follow it goes on with\n" +
			"new ones until it is interrupted. With --json each line is one object.",
	}
	cmd.Flags().IntVar(&in.Last, "last", 10, "how many of the newest to begin with, 0 to 10000")
	cmd.Flags().BoolVarP(&in.Follow, "follow", "f", false, "go on with new ones")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := c.context(cmd)
		defer cancel()
		var err error
		if in.Topic, err = c.topic(ctx, args[0]); err != nil {
			return err
		}
		conn, err := c.connect(ctx)
		if err != nil {
			return err
		}
		err = conn.Stream(ctx, "topic.tail", in, func(raw json.RawMessage) error {
			if c.json {
				return c.print(append(raw, '\n'))
			}
			var it client.TopicTailItem
			if err := json.Unmarshal(raw, &it); err != nil {
				return api.Errorf("topic.tail", api.Unsupported, "the item does not fit: %w", err)
			}
			line := fmt.Sprintf("%s  %-8s  %s  %s #%d  %s", when(it.Time), verdict(it.Accepted, it.Held, it.Final), it.ID, it.Author, it.Seq, it.Kind)
			if it.Reason != nil {
				line += "  " + it.Reason.Text
			}
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

// topic completes a topic's bare name with the only space.
func (c *ctl) topic(ctx context.Context, text string) (string, error) {
	if strings.Contains(text, "/") {
		if _, err := api.ParseTopic(text); err != nil {
			return "", err
		}
		return text, nil
	}
	_, o, err := ask[client.SpaceListOut](ctx, c, "space.list", nil)
	if err != nil {
		return "", err
	}
	if len(o.Spaces) != 1 {
		return "", api.Errorf("topic.tail", api.Invalid, "this node follows %d spaces: write <space>/%s", len(o.Spaces), text)
	}
	return o.Spaces[0].Space.String() + "/" + text, nil
}

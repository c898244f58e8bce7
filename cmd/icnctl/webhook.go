package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
)

func (c *ctl) webhookCmd() *cobra.Command {
	return group("webhook", "Have events told to a URL", c.webhookAdd(), c.webhookList(), c.webhookRemove(), c.webhookTest(), c.webhookDeliveries())
}

func (c *ctl) webhookAdd() *cobra.Command {
	var in client.WebhookAddIn
	cmd := &cobra.Command{
		Use: "add URL", Short: "Have events of a space told to a URL", Args: cobra.ExactArgs(1),
		Long: "Has the node post each event of a space to a URL, in order and at least once, signed as standardwebhooks.com says. The secret that signs\n" +
			"is printed this once.",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringSliceVar(&in.Types, "type", nil, "only these types, such as ledger.transferred, or all of an app: ledger.*")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		in.Space, in.URL = id, args[0]
		return read(c, cmd, "webhook.add", in, func(o *client.WebhookAddOut) {
			c.facts("hook", o.ID, "url", o.URL, "secret", o.Secret)
			c.note("The secret is not shown again.")
		})
	}
	return cmd
}

func (c *ctl) webhookList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List webhooks and how they do", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return read(c, cmd, "webhook.list", client.WebhookListIn{}, func(o *client.WebhookListOut) {
				var rows [][]string
				for _, h := range o.Hooks {
					state := "on"
					switch {
					case h.Disabled != "":
						state = "off: " + h.Disabled
					case h.Failures > 0:
						state = "failed " + strconv.Itoa(h.Failures) + " times, next " + when(h.Next)
					}
					rows = append(rows, []string{h.ID, h.Space.Short(), h.URL, state})
				}
				c.table("No webhooks.", "HOOK SPACE URL STATE", rows)
			})
		},
	}
}

func (c *ctl) webhookRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove HOOK", Short: "Remove a webhook", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return read(c, cmd, "webhook.remove", client.WebhookRemoveIn{ID: args[0]}, func(o *client.WebhookRemoveOut) { c.note("%s is removed.", o.ID) })
		},
	}
}

func (c *ctl) webhookTest() *cobra.Command {
	return &cobra.Command{
		Use: "test HOOK", Short: "Send a webhook a test event", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return read(c, cmd, "webhook.test", client.WebhookTestIn{ID: args[0]}, func(o *client.WebhookTestOut) {
				c.facts("status", strconv.Itoa(o.Status), "error", orNone(o.Error), "took", strconv.FormatInt(o.Millis, 10)+" ms")
			})
		},
	}
}

func (c *ctl) webhookDeliveries() *cobra.Command {
	return &cobra.Command{
		Use: "deliveries HOOK", Short: "List the last attempts of a webhook", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return read(c, cmd, "webhook.deliveries", client.WebhookDeliveriesIn{ID: args[0]}, func(o *client.WebhookDeliveriesOut) {
				var rows [][]string
				for _, t := range o.Tries {
					rows = append(rows, []string{when(t.At), t.Type, strconv.Itoa(t.Status), strconv.FormatInt(t.Millis, 10) + " ms", orNone(t.Error)})
				}
				c.table("No attempts.", "AT TYPE STATUS TOOK ERROR", rows)
			})
		},
	}
}

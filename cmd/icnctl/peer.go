package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

func (c *ctl) peerCmd() *cobra.Command {
	return group("peer", "Other nodes", c.peerList(), c.peerDial(), c.peerPing(), c.peerRefusals(),
		c.peerBan(), c.peerAct("unban NODE", "Take a ban back", "peer.unban"), c.peerCut(), c.peerAct("mend [NODE]", "End a cut and connect again; without a node, all cuts", "peer.mend"))
}

func (c *ctl) peerList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List peers, bans and cuts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return read(c, cmd, "peer.list", nil, func(o *client.PeerListOut) {
				var rows [][]string
				for _, p := range o.Peers {
					since, rtt := "", ""
					if !p.Since.IsZero() {
						since, rtt = when(p.Since), fmt.Sprintf("%.1f ms", p.RTT)
					}
					address := ""
					if len(p.Addresses) > 0 {
						address = p.Addresses[0]
					}
					rows = append(rows, []string{string(p.Node), p.State, since, rtt, strconv.FormatUint(p.Sent, 10), strconv.FormatUint(p.Received, 10), strconv.Itoa(p.Spaces), address})
				}
				c.table("No peers: `icnctl peer dial` connects to one.", "NODE STATE SINCE RTT SENT RECEIVED SPACES ADDRESS", rows)
			})
		},
	}
}

func (c *ctl) peerDial() *cobra.Command {
	return &cobra.Command{
		Use: "dial ADDRESS", Short: "Connect to a peer, icn://<node did>@host:port, and keep it", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return write(c, cmd, "peer.dial", client.PeerDialIn{Address: args[0]}, func(o *client.PeerDialOut) { fmt.Fprintln(c.out, o.Node) })
		},
	}
}

func (c *ctl) peerPing() *cobra.Command {
	var in client.PeerPingIn
	cmd := &cobra.Command{
		Use: "ping NODE", Short: "Ask a connected peer for a sign of life, by a signed message", Args: cobra.ExactArgs(1),
		Long: "Asks a connected peer what software it runs and what time it is there. Only who serves a member of a common space is answered.\n" +
			"The peer's clock is compared with this node's; half of the round trip is the error.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Node, err = did(args[0]); err != nil {
				return err
			}
			return read(c, cmd, "peer.ping", in, func(o *client.PeerPingOut) {
				c.facts("node", string(o.Node), "build", o.Build, "rtt", fmt.Sprintf("%.1f ms", o.RTT),
					"clock", fmt.Sprintf("%s, %+d ms to this node's", time.UnixMilli(o.Wall).UTC().Format("2006-01-02T15:04:05.000Z07:00"), o.Offset))
			})
		},
	}
	cmd.Flags().BoolVar(&in.Sealed, "sealed", false, "so that nobody else can read question and answer")
	return cmd
}

func (c *ctl) peerBan() *cobra.Command {
	var in client.PeerBanIn
	cmd := &cobra.Command{
		Use: "ban NODE", Short: "Refuse a node until it is unbanned", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if in.Node, err = did(args[0]); err != nil {
				return err
			}
			return write(c, cmd, "peer.ban", in, c.done)
		},
	}
	cmd.Flags().StringVar(&in.Reason, "reason", "", "for those who read the list of peers")
	return cmd
}

func (c *ctl) peerCut() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use: "cut [NODE]", Short: "Stay away from a node, or from all, for a while", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in client.PeerCutIn
			var err error
			if len(args) == 1 {
				if in.Node, err = did(args[0]); err != nil {
					return err
				}
			}
			if length < 0 || length%time.Second != 0 {
				return api.Errorf("--for", api.Invalid, "got %s, want whole seconds", length)
			}
			in.Seconds = int(length / time.Second)
			return write(c, cmd, "peer.cut", in, c.done)
		},
	}
	cmd.Flags().DurationVar(&length, "for", 0, "how long, such as 90s or 2h, at most 720h; 0 until `icnctl peer mend`")
	return cmd
}

// peerAct is a verb that takes a node and nothing else; brackets in use make the node optional.
func (c *ctl) peerAct(use, short, op string) *cobra.Command {
	args := cobra.ExactArgs(1)
	if use[len(use)-1] == ']' {
		args = cobra.MaximumNArgs(1)
	}
	return &cobra.Command{
		Use: use, Short: short, Args: args,
		RunE: func(cmd *cobra.Command, args []string) error {
			var in client.PeerMendIn
			var err error
			if len(args) == 1 {
				if in.Node, err = did(args[0]); err != nil {
					return err
				}
			}
			return write(c, cmd, op, in, c.done)
		},
	}
}

// done shows the empty answer.
func (c *ctl) done(*struct{}) { c.note("Done.") }

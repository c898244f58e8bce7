package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node"
	"github.com/intercooperative/icn/node/config"
)

func (c *ctl) doctorCmd() *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look the node over and say what to do next", Args: cobra.NoArgs,
		Long: "Looks at clock, disk, network, keys, peers and records, and says what to do about what is not right. When the daemon does not answer, it\n" +
			"looks at what can be seen without it. Exit code 1 when something fails; warnings do not count.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.context(cmd)
			defer cancel()
			raw, out, err := ask[client.NodeDoctorOut](ctx, c, "node.doctor", nil)
			if err != nil {
				if raw, out, err = c.doctorOffline(err); err != nil {
					return err
				}
			}
			if c.json {
				err = c.printJSON(raw)
			} else {
				c.showDoctor(out)
			}
			if err == nil && !out.OK {
				err = api.Errorf("node.doctor", api.Conflict, "%d checks failed", out.Failures)
			}
			return err
		},
	}
}

// doctorOffline answers for a daemon that is not there; any other error stands.
func (c *ctl) doctorOffline(why error) (json.RawMessage, *client.NodeDoctorOut, error) {
	if c.conn != nil || c.rpc != "" || c.far.address != "" || api.KindOf(why) != api.Unavailable {
		return nil, nil, why
	}
	cfg, err := config.Load(config.Sources{DataDir: c.dataDir, Env: c.environ})
	if err != nil {
		return nil, nil, err
	}
	raw, err := json.Marshal(node.DoctorOffline(cfg, why))
	out := new(client.NodeDoctorOut)
	if err == nil {
		err = json.Unmarshal(raw, out)
	}
	if err != nil {
		return nil, nil, api.Errorf("node.doctor", api.Internal, "%w", err)
	}
	return raw, out, nil
}

func (c *ctl) showDoctor(out *client.NodeDoctorOut) {
	var rows [][]string
	for _, k := range out.Checks {
		rows = append(rows, []string{k.Name, k.State, k.Value})
		if k.Next != "" {
			rows = append(rows, []string{"", "", "-> " + k.Next})
		}
	}
	c.table("Nothing was looked at.", "CHECK STATE FOUND", rows)
	c.note("%s", fmt.Sprintf("%d checks, %d warnings, %d failures.", len(out.Checks), out.Warnings, out.Failures))
}

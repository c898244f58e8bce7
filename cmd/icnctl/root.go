package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
	"github.com/intercooperative/icn/node/config"
)

// ctl is one run of the program: the global flags, where to print, and the connection once there is one.
type ctl struct {
	out, err io.Writer
	in       *os.File
	environ  []string

	dataDir, rpc   string
	json           bool
	idempotency    string
	wait           string
	copies         int
	timeout        time.Duration
	passphraseFile string
	far            elsewhere
	conn           *client.Client
}

func (c *ctl) root() *cobra.Command {
	root := group("icnctl", "Ask a running ICN node")
	root.Long = "Asks a running ICN node over its local socket, or with --node another one over its gateway. Results go to standard output, notes and errors to standard error."
	f := root.PersistentFlags()
	f.StringVar(&c.dataDir, "data-dir", "", "the node's data directory (default $ICN_DATA_DIR, else ~/.local/share/icn)")
	f.StringVar(&c.rpc, "rpc", "", "unix:PATH of the node's socket (default icnd.sock in the data directory)")
	f.BoolVar(&c.json, "json", false, "print what the operation answered, as JSON")
	f.StringVar(&c.idempotency, "idempotency-key", "", "name for a write, 1 to 64 characters: repeated, it is done once")
	f.StringVar(&c.wait, "wait", "", "how far a write must have got: local (on this node's disk, the default), replicated (on other members' nodes) or final (stated by the witnesses)")
	f.IntVar(&c.copies, "copies", 0, "for --wait replicated: how many other members' nodes must hold it, 1 to 64 (default 1)")
	f.DurationVar(&c.timeout, "timeout", 0, "give up after so long, such as 30s; 0 never")
	c.elsewhereFlags(root)
	root.AddCommand(
		c.initCmd(), c.loginCmd(), c.statusCmd(), c.versionCmd(), c.idCmd(), c.configCmd(), c.explainCmd(),
		c.spaceCmd(), c.memberCmd(), c.officeCmd(), c.feedCmd(), c.ledgerCmd(), c.treasuryCmd(), c.auditCmd(), c.trustCmd(), c.securityCmd(), c.marketCmd(), c.blobCmd(), c.peerCmd(), c.topicCmd(), c.eventCmd(), c.webhookCmd(), c.stateCmd(), c.doctorCmd(), c.snapshotCmd(), c.refusalCmd(),
	)
	return root
}

// group is a noun; its verbs are children. A verb that does not exist is an error, not a page of help.
func group(name, short string, verbs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: name, Short: short, Args: cobra.ArbitraryArgs, SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			err := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				err += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return errors.New(err)
		},
	}
	g.AddCommand(verbs...)
	return g
}

// dir is the data directory, or "" when nothing names one.
func (c *ctl) dir() string { return config.DataDir(c.dataDir, c.environ) }

// connect dials the node, once.
func (c *ctl) connect(ctx context.Context) (*client.Client, error) {
	if c.conn != nil {
		return c.conn, nil
	}
	if c.far.address != "" {
		if c.rpc != "" {
			return nil, api.Errorf("--node", api.Invalid, "--rpc is given, too: the one is a node's gateway, the other its socket")
		}
		conn, err := c.dialElsewhere(ctx)
		c.conn = conn
		return conn, err
	}
	address := c.rpc
	if address == "" {
		// The file of the data directory says where the socket is; flags and environment of the daemon's own run are not ours to know.
		cfg, err := config.Load(config.Sources{DataDir: c.dataDir, Env: c.environ})
		if err != nil {
			return nil, err
		}
		address = cfg.RPCAddress()
	}
	conn, err := client.Dial(ctx, address)
	c.conn = conn
	return conn, err
}

func (c *ctl) close() {
	if c.conn != nil {
		_ = c.conn.Close() // a session that cannot be ended ends by itself
	}
	if c.far.signer != nil {
		_ = c.far.signer.Close() // it wipes the keys, and cannot fail
	}
}

// context bounds a command's context by --timeout.
func (c *ctl) context(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	if c.timeout > 0 {
		return context.WithTimeout(cmd.Context(), c.timeout)
	}
	return context.WithCancel(cmd.Context())
}

// read runs an operation that changes nothing and shows its answer.
func read[Out any](c *ctl, cmd *cobra.Command, name string, in any, show func(*Out)) error {
	return call(c, cmd, name, in, nil, show)
}

// readBoth is read with a look at the answer that --json has too, for checks whose outcome is the exit code.
func readBoth[Out any](c *ctl, cmd *cobra.Command, name string, in any, show, judge func(*Out)) error {
	ctx, cancel := c.context(cmd)
	defer cancel()
	raw, out, err := ask[Out](ctx, c, name, in)
	if err != nil {
		return err
	}
	judge(out)
	if c.json {
		return c.printJSON(raw)
	}
	show(out)
	return nil
}

// write runs an operation that changes something, with --idempotency-key and --wait.
func write[Out any](c *ctl, cmd *cobra.Command, name string, in any, show func(*Out)) error {
	opts, err := c.writeOptions()
	if err != nil {
		return err
	}
	return call(c, cmd, name, in, opts, show)
}

func (c *ctl) writeOptions() ([]client.CallOption, error) {
	var opts []client.CallOption
	if c.idempotency != "" {
		opts = append(opts, client.Idempotency(c.idempotency))
	}
	wait, err := c.level()
	if err != nil {
		return nil, err
	}
	if wait != "" {
		opts = append(opts, client.Wait(wait))
	}
	return opts, nil
}

// level is what --wait and --copies say.
func (c *ctl) level() (api.Wait, error) {
	wait := api.Wait(c.wait)
	if c.copies != 0 {
		switch {
		case c.wait != "replicated":
			return "", api.Errorf("--copies", api.Invalid, "it says how many copies --wait replicated waits for: give both")
		case c.copies < 1 || c.copies > api.MaxCopies:
			return "", api.Errorf("--copies", api.Invalid, "got %d, want 1 to %d", c.copies, api.MaxCopies)
		}
		wait = api.WaitReplicated(c.copies)
	}
	if err := wait.Validate(); err != nil {
		return "", api.Errorf("--wait", api.Invalid, "got %q, want %s, replicated or %s", c.wait, api.WaitLocal, api.WaitFinal)
	}
	return wait, nil
}

func call[Out any](c *ctl, cmd *cobra.Command, name string, in any, opts []client.CallOption, show func(*Out)) error {
	ctx, cancel := c.context(cmd)
	defer cancel()
	raw, out, err := ask[Out](ctx, c, name, in, opts...)
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(raw)
	}
	show(out)
	return nil
}

// ask runs an operation and returns its answer, as it came and decoded.
func ask[Out any](ctx context.Context, c *ctl, name string, in any, opts ...client.CallOption) (json.RawMessage, *Out, error) {
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	var raw json.RawMessage
	if err := conn.Call(ctx, name, in, &raw, opts...); err != nil {
		return nil, nil, err
	}
	out := new(Out)
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, nil, api.Errorf(name, api.Unsupported, "the answer does not fit: %w", err)
	}
	return raw, out, nil
}

// spaceFlag adds --space.
func spaceFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("space", "", "id of the space (default: the only one this node follows)")
}

func spaceID(text string) (api.Hash, error) {
	if text == "" {
		return api.Hash{}, nil
	}
	h, err := api.ParseHash(text)
	if err != nil {
		return h, api.Errorf("--space", api.Invalid, "%w", err)
	}
	return h, nil
}

// did checks a DID before anybody is asked.
func did(text string) (api.DID, error) {
	if _, err := record.ParseDID(text); err != nil {
		return "", err
	}
	return api.DID(text), nil
}

// optionalDID is did for a flag that may be left out.
func optionalDID(text string) (api.DID, error) {
	if text == "" {
		return "", nil
	}
	return did(text)
}

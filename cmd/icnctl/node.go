package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

func (c *ctl) initCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", Short: "Make a data directory: a keystore and a commented configuration", Args: cobra.NoArgs,
		Long: "Makes a data directory with a keystore, encrypted to a passphrase, and a configuration in which everything is a comment.\n" +
			"The passphrase comes from --passphrase-file, else ICN_KEYSTORE_PASSPHRASE, else the terminal is asked twice.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir := c.dir()
			if dir == "" {
				return api.Errorf("init", api.Invalid, "no data directory: HOME is not set; name one with --data-dir")
			}
			src := identity.PassphraseSource{File: c.passphraseFile, LookupEnv: os.LookupEnv, In: c.in, Prompt: c.err}
			passphrase, err := src.Read(true)
			if err != nil {
				return err
			}
			defer clear(passphrase)
			made, err := config.Init(dir, passphrase, 0)
			if err != nil {
				return err
			}
			if c.json {
				return c.printValue(made)
			}
			fmt.Fprintln(c.out, made.DID)
			c.notePhrase(made.Phrase)
			c.note("Made %s. Copy it to a safe place: who loses it, or its passphrase, needs the recovery phrase to be this member again.", filepath.Join(dir, identity.KeystoreFile))
			c.note("Start the node with `icnd run --data-dir %s`.", dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&c.passphraseFile, "passphrase-file", "", "file with the new keystore's passphrase")
	return cmd
}

func (c *ctl) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show who and how the node is", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return read(c, cmd, "node.status", nil, func(s *client.NodeStatusOut) {
				c.facts(
					"phase", s.Phase, "version", s.Version, "node", string(s.Node), "member", string(s.Member), "device", s.Device.String(),
					"up", (time.Duration(s.Uptime)*time.Second).String()+", since "+when(s.Started),
					"spaces", hashes(s.Spaces), "peers", strconv.Itoa(s.Peers), "addresses", orNone(strings.Join(s.Addresses, " ")),
					"records", fmt.Sprintf("%d in %d feeds, %d waiting", s.Records, s.Feeds, s.Waiting),
					"store", fmt.Sprintf("%s, format %d, %s", s.Store.Engine, s.Store.Format, size(s.Store.Bytes)),
				)
			})
		},
	}
}

// size writes a number of bytes for people.
func size(n uint64) string {
	const step = 1024
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= step && i < len(units)-1 {
		f, i = f/step, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

func (c *ctl) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the versions of this program and, when it runs, of the node", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.context(cmd)
			defer cancel()
			v := map[string]string{"icnctl": config.Version() + " " + runtime.Version()}
			if _, s, err := ask[client.NodeStatusOut](ctx, c, "node.status", nil); err == nil {
				v["icnd"] = s.Version
			}
			if c.json {
				return c.printValue(v)
			}
			c.facts("icnctl", v["icnctl"], "icnd", cmp.Or(v["icnd"], "not running"))
			return nil
		},
	}
}

func (c *ctl) configCmd() *cobra.Command {
	return group("config", "The configuration",
		&cobra.Command{
			Use: "show", Short: "Show the configuration that the running node uses", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return read(c, cmd, "node.config", nil, func(o *client.NodeConfigOut) { c.facts(flatten("", o.Values)...) })
			},
		},
		&cobra.Command{
			Use: "validate [FILE]", Short: "Check a configuration file, icn.toml in the data directory by default", Args: cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				src := config.Sources{DataDir: c.dataDir, Env: c.environ, File: filepath.Join(c.dir(), config.File)}
				if len(args) == 1 {
					src.File = args[0]
				}
				cfg, err := config.Load(src)
				if err != nil {
					return err
				}
				if c.json {
					return c.printValue(cfg)
				}
				c.note("%s is good.", src.File)
				return nil
			},
		},
		&cobra.Command{
			Use: "init [FILE]", Short: "Write a configuration in which every default is a comment", Args: cobra.MaximumNArgs(1),
			RunE: func(_ *cobra.Command, args []string) error {
				path := filepath.Join(c.dir(), config.File)
				if len(args) == 1 {
					path = args[0]
				}
				if err := config.WriteFile(path); err != nil {
					return err
				}
				if c.json {
					return c.printValue(map[string]string{"config": path})
				}
				c.note("Wrote %s.", path)
				return nil
			},
		},
	)
}

// flatten turns nested values into pairs of dotted name and text.
func flatten(prefix string, m map[string]any) []string {
	names := map[string]string{}
	var out []string
	for k := range m {
		names[k] = ""
	}
	for _, k := range sortedKeys(names) {
		if sub, ok := m[k].(map[string]any); ok {
			out = append(out, flatten(prefix+k+".", sub)...)
		} else {
			out = append(out, prefix+k, fmt.Sprint(m[k]))
		}
	}
	return out
}

func (c *ctl) stateCmd() *cobra.Command {
	check := func(use, short, op string) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				show := func(o *client.StateVerifyOut) {
					c.facts("state", map[bool]string{true: "sound", false: "not sound"}[o.OK], "digest", o.Digest.String(), "records", strconv.Itoa(o.Records),
						"took", (time.Duration(o.TookMS) * time.Millisecond).String())
					for _, p := range o.Problems {
						c.facts("problem", p)
					}
				}
				if use == "rebuild" {
					return write(c, cmd, op, nil, show)
				}
				var bad error
				err := readBoth(c, cmd, op, nil, show, func(o *client.StateVerifyOut) {
					if !o.OK {
						bad = api.Errorf(op, api.Conflict, "the state is not what the records give: `icnctl state rebuild` makes it anew")
					}
				})
				return errors.Join(err, bad)
			},
		}
	}
	return group("state", "What the records add up to",
		&cobra.Command{
			Use: "digest", Short: "Print one hash per app: equal on nodes that hold the same records", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				return read(c, cmd, "state.digest", nil, func(o *client.StateDigestOut) {
					rows := [][]string{{"(all)", o.Digest.String(), ""}}
					for _, a := range o.Apps {
						rows = append(rows, []string{a.App, a.Digest.String(), strconv.Itoa(a.Rows)})
					}
					c.table("no apps", "APP DIGEST ROWS", rows)
				})
			},
		},
		check("verify", "Fold all records again beside the state and compare", "state.verify"),
		check("rebuild", "Throw the state away and make it anew from the records", "state.rebuild"),
	)
}

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node"
)

func (c *ctl) snapshotCmd() *cobra.Command {
	return group("snapshot", "Encrypted archives of a node", c.snapshotCreate(), c.snapshotVerify(), c.snapshotRestore(), c.snapshotList(), c.snapshotKey())
}

// snapshotName is what `snapshot create` calls a file: the time and the format, since nothing else about it is for everybody.
var snapshotName = regexp.MustCompile(`^icn-(\d{8}T\d{6}Z)-v(\d+)\.age$`)

const (
	snapshotTime   = "20060102T150405Z"
	snapshotFormat = 1
)

func (c *ctl) snapshotCreate() *cobra.Command {
	var recipients []string
	cmd := &cobra.Command{
		Use: "create [FILE|DIR]", Short: "Write an archive of everything the running node holds", Args: cobra.MaximumNArgs(1),
		Long: "Writes an archive of everything the running node holds, but for its keys: records, which spaces it follows, peers and bans, served requests.\n" +
			"The node goes on meanwhile, and writes the file itself: the folder must be one that its user may write to. A name is made from the time when none\n" +
			"is given. The archive is an age file, for --recipient (a public key, age1..., made with age-keygen) or else for a passphrase, which comes from\n" +
			"--passphrase-file, else ICN_KEYSTORE_PASSPHRASE, else the terminal is asked twice. With --json each line says how far it is.",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := snapshotPath(append(args, ".")[0], time.Now())
			if err != nil {
				return err
			}
			in := client.SnapshotCreateIn{Path: path, Recipients: recipients}
			if len(recipients) == 0 {
				passphrase, err := c.passphrase().Read(true)
				if err != nil {
					return err
				}
				in.Passphrase = string(passphrase)
				clear(passphrase)
			}
			return c.snapshotStream(cmd, in)
		},
	}
	cmd.Flags().StringArrayVar(&recipients, "recipient", nil, "public key of age that may read the archive; may be repeated")
	cmd.Flags().StringVar(&c.passphraseFile, "passphrase-file", "", "file with the archive's passphrase")
	return cmd
}

// snapshotPath completes a folder with a name, and makes the path one that the daemon understands.
func snapshotPath(arg string, now time.Time) (string, error) {
	path, err := filepath.Abs(arg)
	if err != nil {
		return "", api.Errorf("snapshot.create", api.Invalid, "%w", err)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, fmt.Sprintf("icn-%s-v%d.age", now.UTC().Format(snapshotTime), snapshotFormat))
	}
	return path, nil
}

func (c *ctl) passphrase() identity.PassphraseSource {
	return identity.PassphraseSource{File: c.passphraseFile, LookupEnv: os.LookupEnv, In: c.in, Prompt: c.err}
}

func (c *ctl) snapshotStream(cmd *cobra.Command, in client.SnapshotCreateIn) error {
	ctx, cancel := c.context(cmd)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	done := false
	err = conn.Stream(ctx, "snapshot.create", in, func(raw json.RawMessage) error {
		var it client.SnapshotCreateItem
		if err := json.Unmarshal(raw, &it); err != nil {
			return api.Errorf("snapshot.create", api.Unsupported, "the item does not fit: %w", err)
		}
		done = done || it.Done != nil
		switch {
		case c.json:
			return c.print(append(raw, '\n'))
		case it.Done != nil:
			fmt.Fprintln(c.out, it.Done.Path)
			c.note("%d records, %s. Copy it to another machine; `icnctl snapshot verify` checks it there.", it.Records, size(uint64(it.Bytes)))
		default:
			c.note("%s: %d of %d records, %s", it.Stage, it.Records, it.Of, size(uint64(it.Bytes)))
		}
		return nil
	})
	if err == nil && !done {
		err = api.Errorf("snapshot.create", api.Unavailable, "the node stopped before the archive was whole; there is no file")
	}
	return err
}

// unsealFlags adds what opens an archive; the function reads it when the command runs.
func (c *ctl) unsealFlags(cmd *cobra.Command) func() (identity.Unseal, error) {
	var keyFile string
	cmd.Flags().StringVar(&c.passphraseFile, "passphrase-file", "", "file with the archive's passphrase (default ICN_KEYSTORE_PASSPHRASE, else the terminal is asked)")
	cmd.Flags().StringVar(&keyFile, "identity", "", "file of age with the secret key of a recipient")
	return func() (identity.Unseal, error) {
		if keyFile != "" {
			b, err := readKeyFile(keyFile)
			return identity.Unseal{Keys: b}, err
		}
		p, err := c.passphrase().Read(false)
		return identity.Unseal{Passphrase: p}, err
	}
}

// maxKeyFile bounds what is taken for a file of keys.
const maxKeyFile = 64 << 10

func readKeyFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, api.Errorf("--identity", api.Invalid, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, api.Errorf("--identity", api.Invalid, "%w", err)
	}
	return b, nil
}

// counter notes how far a long work is, once a second.
func (c *ctl) counter(what string) func(records, of uint64) error {
	next := time.Now().Add(time.Second)
	return func(records, of uint64) error {
		if now := time.Now(); now.After(next) && !c.json {
			next = now.Add(time.Second)
			c.note("%s: %d of %d records", what, records, of)
		}
		return nil
	}
}

func (c *ctl) snapshotVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check an archive from end to end, without a node", Args: cobra.ExactArgs(1),
		Long: "Reads an archive to its end and checks every digest, and every record's signature and place in its chain. The first bad thing is named. That\n" +
			"the records give the state which the archive names is checked when it is restored.",
	}
	unseal := c.unsealFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		by, err := unseal()
		if err != nil {
			return err
		}
		ctx, cancel := c.context(cmd)
		defer cancel()
		info, err := node.VerifySnapshot(ctx, args[0], by, c.counter("verified"))
		if err != nil {
			return err
		}
		if c.json {
			return c.printValue(info)
		}
		c.facts("archive", "sound", "made", when(info.Created)+" by version "+info.Version, "node", string(info.Node), "member", string(info.Member), "device", info.Device.String(),
			"spaces", hashes(info.Spaces), "records", strconv.FormatUint(info.Records, 10), "size", size(uint64(info.Bytes)), "state", info.Digest.String(), "sum", info.Sum.String())
		return nil
	}
	return cmd
}

func (c *ctl) snapshotRestore() *cobra.Command {
	var o node.RestoreOptions
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Make a new data directory from an archive", Args: cobra.ExactArgs(1),
		Long: "Makes the store of a new data directory, --data-dir, which must be empty, from an archive: every record is checked and folded again, and the\n" +
			"state is compared with that of the archive. There are no keys in an archive. The device key that was in use must not go on signing over a restored\n" +
			"store, and the daemon refuses it: make a new keystore afterwards with `icnctl init`.",
	}
	unseal := c.unsealFlags(cmd)
	cmd.Flags().BoolVar(&o.AcceptDigest, "accept-digest", false, "keep the result although this version makes another state of the records")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		by, err := unseal()
		if err != nil {
			return err
		}
		o.DataDir, o.Progress = c.dir(), c.counter("restored")
		ctx, cancel := c.context(cmd)
		defer cancel()
		out, err := node.RestoreSnapshot(ctx, args[0], by, o)
		if err != nil {
			return err
		}
		if c.json {
			return c.printValue(out)
		}
		c.facts("restored", o.DataDir, "records", strconv.FormatUint(out.Records, 10), "state", out.State.String(), "of", when(out.Created))
		for _, a := range out.Differs {
			c.note("The state of %s is not what version %s made of the records.", a, out.Version)
		}
		c.note("There are no keys in it. The device %s must not sign over it any more.", out.Device)
		c.note("Make new ones with `icnctl init --data-dir %s`; what that means for your membership is in docs/guides/backup.md.", o.DataDir)
		return nil
	}
	return cmd
}

// listed is an archive as `snapshot list` shows it.
type listed struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created,omitzero"`
	Format  int       `json:"format,omitempty"`
	Bytes   int64     `json:"bytes"`
	Header  any       `json:"header,omitempty"`
	Error   string    `json:"error,omitempty"`

	node, spaces, records string
}

func (c *ctl) snapshotList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [DIR]", Short: "List the archives in a folder", Args: cobra.MaximumNArgs(1),
		Long: "Lists the archives in a folder, this one by default: time and format from their names, and size. With --identity or --passphrase-file it opens\n" +
			"them and shows whose they are and what they hold.",
	}
	unseal := c.unsealFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var by *identity.Unseal
		if cmd.Flags().Changed("identity") || cmd.Flags().Changed("passphrase-file") {
			u, err := unseal()
			if err != nil {
				return err
			}
			by = &u
		}
		all, err := listSnapshots(append(args, ".")[0], by)
		if err != nil {
			return err
		}
		if c.json {
			return c.printValue(map[string]any{"snapshots": all})
		}
		var rows [][]string
		for _, l := range all {
			rows = append(rows, []string{l.Name, when(l.Created), strconv.Itoa(l.Format), size(uint64(l.Bytes)), cmp.Or(l.node, "-"), cmp.Or(l.spaces, "-"), cmp.Or(l.records, "-")})
			if l.Error != "" {
				c.note("%s: %s", clean(l.Name), clean(l.Error))
			}
		}
		c.table("No archives.", "NAME MADE FORMAT SIZE NODE SPACES RECORDS", rows)
		return nil
	}
	return cmd
}

func listSnapshots(dir string, by *identity.Unseal) ([]*listed, error) {
	entries, err := os.ReadDir(dir) // in order of name, which is the order of time
	if err != nil {
		return nil, api.Errorf("snapshot.list", api.Invalid, "%w", err)
	}
	all := []*listed{}
	for _, e := range entries {
		m := snapshotName.FindStringSubmatch(e.Name())
		info, err := e.Info()
		if m == nil || err != nil || !info.Mode().IsRegular() {
			continue
		}
		l := &listed{Name: e.Name(), Bytes: info.Size()}
		l.Created, _ = time.Parse(snapshotTime, m[1]) // digits that are no time show as none
		l.Format, _ = strconv.Atoi(m[2])
		if by != nil {
			if h, err := node.SnapshotHeader(filepath.Join(dir, e.Name()), *by); err != nil {
				l.Error = err.Error()
			} else {
				l.Header, l.node, l.spaces, l.records = h, string(h.Node), strconv.Itoa(len(h.Spaces)), strconv.FormatUint(h.Records, 10)
			}
		}
		all = append(all, l)
	}
	return all, nil
}

func (c *ctl) snapshotKey() *cobra.Command {
	return &cobra.Command{
		Use: "key FILE", Short: "Make a key that archives can be encrypted to, as age-keygen does", Args: cobra.ExactArgs(1),
		Long: "Makes a key and prints its public part, for --recipient. FILE holds the secret part, for --identity. It is not needed where archives are\n" +
			"made: keep it elsewhere, with a copy.",
		RunE: func(_ *cobra.Command, args []string) error {
			public, secret, err := identity.NewSealKey()
			if err != nil {
				return err
			}
			defer clear(secret)
			f, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return api.Errorf("snapshot.key", api.Invalid, "%w", err)
			}
			_, err = f.Write(secret)
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return api.Errorf("snapshot.key", api.Unavailable, "%w", err)
			}
			if c.json {
				return c.printValue(map[string]string{"recipient": public, "file": args[0]})
			}
			fmt.Fprintln(c.out, public)
			return nil
		},
	}
}

package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

const (
	nodeEnv     = "ICN_NODE"    // what --node says by default
	journalFile = "signed.json" // beside the keystore: what its device has signed through gateways
)

// elsewhere is how a node is asked through its gateway, with the key of this data directory.
type elsewhere struct {
	address string // "" for the node of the data directory, over its socket
	did     string
	ca      string
	plain   bool
	yes     bool
	signer  *identity.Identity
}

func (c *ctl) elsewhereFlags(root *cobra.Command) {
	f, e := root.PersistentFlags(), &c.far
	f.StringVar(&e.address, "node", config.Getenv(c.environ, nodeEnv), "https address of a node's gateway, such as https://coop.example: ask it with the key in the data directory, which stays there (default $"+nodeEnv+")")
	f.StringVar(&e.did, "node-did", "", "with --node: the node's DID, when it is known beforehand; needed where the node was not told its address")
	f.StringVar(&e.ca, "ca", "", "with --node: PEM file with the authorities that may vouch for it (default the system's)")
	f.BoolVar(&e.plain, "plain-http", false, "with --node: allow http to another machine, on a network that is protected otherwise")
	f.BoolVarP(&e.yes, "yes", "y", false, "with --node: sign what the node fills in without asking")
}

// dialElsewhere dials a node through its gateway.
func (c *ctl) dialElsewhere(ctx context.Context) (*client.Client, error) {
	e := &c.far
	var opts []client.Option
	if e.did != "" {
		who, err := did(e.did)
		if err != nil {
			return nil, err
		}
		opts = append(opts, client.Node(who))
	}
	if e.ca != "" {
		pem, err := c.readFile(e.ca)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, api.Errorf("--ca", api.Invalid, "%s: no certificate in PEM is in it", e.ca)
		}
		opts = append(opts, client.RootCAs(pool))
	}
	if e.plain {
		opts = append(opts, client.PlainHTTP())
	}
	if _, err := client.Dial(ctx, e.address, opts...); err != nil { // before a passphrase is asked for
		return nil, err
	}
	journal, err := c.openMember()
	if err != nil {
		return nil, err
	}
	opts = append(opts, client.Member(e.signer.Signer(), journal), client.Asked(c.confirm), client.Label("icnctl"))
	return client.Dial(ctx, e.address, opts...)
}

// openMember opens the key of the data directory and the journal of what it has signed. A key that may have signed elsewhere, as for a node here, has no
// journal, and signs for no gateway: two who sign with one key fork its feeds.
func (c *ctl) openMember() (*client.FileJournal, error) {
	const op = "--node"
	if _, err := os.Stat(filepath.Join(c.dir(), identity.KeystoreFile)); err != nil {
		return nil, api.Errorf(op, api.Invalid, "no key in %q: make one with `icnctl id new`", c.dir())
	}
	passphrase, err := c.keystorePassphrase(false)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	id, err := identity.Open(c.dir(), passphrase)
	if err != nil {
		return nil, err
	}
	c.far.signer = id
	path := filepath.Join(c.dir(), journalFile)
	journal, err := client.OpenJournal(path, id.Device())
	if api.KindOf(err) != api.NotFound {
		return journal, err
	}
	if id.Used() {
		return nil, api.Errorf(op, api.Invalid, "the key in %s may have signed already, for the node there or with another %s, which is not here: leave out --node, "+
			"or make another key with `icnctl id new --data-dir DIR`", c.dir(), journalFile)
	}
	if journal, err = client.CreateJournal(path, id.Device()); err != nil {
		return nil, err
	}
	return journal, identity.MarkUsed(c.dir()) // last: a crash before leaves the journal, which is of a key that has signed nothing
}

// confirm asks whether to sign what the node has filled in.
func (c *ctl) confirm(d *api.Description, unasked []string) error {
	fmt.Fprintf(c.err, "The node would have this signed, in the space %s:\n  %s\nNot asked for: %s.\n", d.Space, d.Text, strings.Join(unasked, ", "))
	if c.far.yes {
		return nil
	}
	if c.in == nil || !term.IsTerminal(int(c.in.Fd())) {
		return api.Errorf("sign", api.Refused, "nothing was signed: say --yes to sign it, or ask for it in full, with --space")
	}
	fmt.Fprint(c.err, "Sign it? [y/N] ")
	answer, err := bufio.NewReader(c.in).ReadString('\n')
	if err != nil || !strings.EqualFold(strings.TrimSpace(answer), "y") {
		return api.Errorf("sign", api.Refused, "nothing was signed")
	}
	return nil
}

func (c *ctl) loginCmd() *cobra.Command {
	return &cobra.Command{
		Use: "login", Short: "Try a login at a node's gateway, and show as whom and what for", Args: cobra.NoArgs,
		Long: "With --node every command logs in by itself with the key in the data directory and logs out at its end. This one does nothing beside:\n" +
			"it shows that the node's address, its certificate and the key are right.",
		Example: "icnctl login --node https://coop.example --data-dir ~/.icn-member",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := c.context(cmd)
			defer cancel()
			if c.far.address == "" {
				return api.Errorf("login", api.Invalid, "--node is missing: over its socket nobody logs in to a node")
			}
			conn, err := c.connect(ctx)
			if err != nil {
				return err
			}
			s, err := conn.Session(ctx)
			if err != nil {
				return err
			}
			if c.json {
				return c.printValue(s)
			}
			c.facts("member", string(s.DID), "device", s.Device.String(), "scopes", strings.Join(s.Scopes, " "))
			if s.Session == "" {
				c.note("You belong to no space there yet: `icnctl space join INVITATION` joins one.")
			}
			return nil
		},
	}
}

func (c *ctl) idNewCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "new", Short: "Make a key for a member who runs no node", Args: cobra.NoArgs,
		Long: "Makes a keystore in the data directory and nothing else. With --node the member uses any node's gateway; the key stays here.\n" +
			"A key signs on one machine only, and either for a node or through gateways: `icnctl init` makes one for a node.",
		Example: "icnctl id new --data-dir ~/.icn-member",
	}
	factor := workFactorFlag(cmd)
	c.passphraseFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		id, err := c.newKeystore(*factor, func() (*identity.Identity, error) { return identity.Generate(rand.Reader) })
		if err != nil {
			return err
		}
		defer id.Close()
		if c.json {
			v := map[string]any{"did": id.DID(), "device": id.Device()}
			if p := id.TakePhrase(); p != nil {
				v["phrase"] = string(p.Words())
				p.Wipe()
			}
			return c.printValue(v)
		}
		fmt.Fprintln(c.out, id.DID())
		c.takePhrase(id)
		c.note("Join with an invitation: icnctl --data-dir %s --node https://NODE space join INVITATION", c.dir())
		return nil
	}
	return cmd
}

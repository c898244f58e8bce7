package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// maxInput bounds a text file that is read, in bytes.
const maxInput = 1 << 20

func (c *ctl) idCmd() *cobra.Command {
	g := group("id", "Who the node signs for, and with which keys",
		c.idShowCmd(), c.idNewCmd(),
		group("device", "The devices that sign for a DID", c.deviceListCmd(), c.deviceRequestCmd(), c.deviceAddCmd(), c.deviceRemoveCmd(), c.deviceJoinCmd()),
		c.idRotateCmd(), c.idRestoreCmd(), c.idFollowCmd(), c.idLogCmd(),
		group("recover", "Get a DID back with the help of guardians", c.recoverRequestCmd(), c.recoverApproveCmd(), c.recoverApplyCmd(), c.recoverCardsCmd(),
			c.recoverStatusCmd(), c.recoverVetoCmd()),
		c.idBackupCmd(), c.idCombineCmd(), c.idExportCmd(),
	)
	g.Long = "All but `id show`, `id follow`, `id log` and `id recover status` work on the keystore in the data directory, whether the daemon runs or not.\n" +
		"A daemon that runs goes on with the keys it started with: restart it after a change; then it shows its spaces the new key event log. Passphrases and recovery phrases come from a file or the terminal, never from the command line."
	return g
}

func (c *ctl) idShowCmd() *cobra.Command {
	var keystore bool
	var logFile string
	cmd := &cobra.Command{
		Use: "show", Short: "Show the node's member, device, node key and key event log, or another log", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case logFile != "":
				l, err := c.readLog(logFile)
				if err != nil {
					return err
				}
				return c.showLog(l, nil)
			case keystore:
				return c.withKeystore(false, func(id *identity.Identity) error { return c.showLog(id.Log(), id) })
			}
			return read(c, cmd, "id.show", nil, func(o *client.IDShowOut) {
				c.facts("member", string(o.DID), "device", o.Device.String(), "node", string(o.Node))
				if l, err := record.ParseLog(o.Log.Bytes); err == nil {
					v := viewOf(l, nil)
					for i := range v.Devices {
						v.Devices[i].Here = v.Devices[i].Key == o.Device
					}
					c.logFacts(v)
				}
			})
		},
	}
	cmd.Flags().BoolVar(&keystore, "keystore", false, "show the key event log in the keystore, without asking the daemon")
	cmd.Flags().StringVar(&logFile, "log", "", "show the key event log in this file, or on this guardian's card; - is standard input")
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) passphraseFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.passphraseFile, "passphrase-file", "", "file with the keystore's passphrase (default ICN_KEYSTORE_PASSPHRASE, else the terminal is asked)")
}

// keystorePassphrase asks for the passphrase of the keystore.
func (c *ctl) keystorePassphrase(confirm bool) ([]byte, error) {
	return identity.PassphraseSource{File: c.passphraseFile, LookupEnv: os.LookupEnv, In: c.in, Prompt: c.err}.Read(confirm)
}

// withKeystore opens the keystore for do, and saves it after when save is set and do agrees.
func (c *ctl) withKeystore(save bool, do func(*identity.Identity) error) error {
	passphrase, err := c.keystorePassphrase(false)
	if err != nil {
		return err
	}
	defer clear(passphrase)
	id, err := identity.OpenWaiting(c.dir(), passphrase)
	if err != nil {
		return err
	}
	defer id.Close()
	if err := do(id); err != nil || !save {
		return err
	}
	return identity.Save(c.dir(), passphrase, id)
}

// newKeystore makes a keystore of what make returns.
func (c *ctl) newKeystore(workFactor int, make func() (*identity.Identity, error)) (*identity.Identity, error) {
	if c.dir() == "" {
		return nil, api.Errorf("keystore.create", api.Invalid, "no data directory: HOME is not set; name one with --data-dir")
	}
	passphrase, err := c.keystorePassphrase(true)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	return identity.CreateWith(c.dir(), passphrase, workFactor, make)
}

func workFactorFlag(cmd *cobra.Command) *int {
	return cmd.Flags().Int("work-factor", 0, "cost of opening the new keystore, as a power of two (default 18: about a second and 256 MiB)")
}

// phraseSource adds --phrase-file.
func (c *ctl) phraseSource(cmd *cobra.Command) func() (*identity.Phrase, error) {
	file := cmd.Flags().String("phrase-file", "", "file with the recovery phrase (default: the terminal is asked)")
	return func() (*identity.Phrase, error) {
		return identity.PhraseSource{File: *file, In: c.in, Prompt: c.err}.Read()
	}
}

// notePhrase shows a new phrase.
func (c *ctl) notePhrase(words string) {
	c.note("Recovery phrase, shown this once: write it on paper, it is in no file.\n\n  %s\n", words)
}

func (c *ctl) takePhrase(id *identity.Identity) {
	if p := id.TakePhrase(); p != nil {
		words := p.Words()
		c.notePhrase(string(words))
		clear(words)
		p.Wipe()
	}
}

// readFile reads a text file, or standard input for "-".
func (c *ctl) readFile(path string) ([]byte, error) {
	var in io.Reader = c.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, api.Errorf("read", api.Invalid, "%w", err)
		}
		defer f.Close()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err != nil {
		return nil, api.Errorf("read", api.Invalid, "%s: %w", path, err)
	}
	return b, nil
}

func (c *ctl) readLog(path string) (*record.Log, error) {
	b, err := c.readFile(path)
	if err != nil {
		return nil, err
	}
	return identity.ParseLogText(b)
}

// printLog prints a log that others need, as text.
func (c *ctl) printLog(l *record.Log) error { return c.printText(identity.LogText, l.Bytes()) }

func (c *ctl) printText(k identity.TextKind, b []byte) error {
	text := identity.EncodeText(k, b)
	if c.json {
		return c.printValue(map[string]string{"text": string(text)})
	}
	return c.print(text)
}

// logView is what people see of a log.
type logView struct {
	DID       api.DID      `json:"did"`
	Events    int          `json:"events"`
	Head      api.Hash     `json:"head"`
	Kind      string       `json:"head_kind"`
	Key       api.Key      `json:"key_in_charge"`
	Here      bool         `json:"key_is_here"`
	Hybrid    bool         `json:"hybrid"`
	Committed bool         `json:"rotation_key_committed"`
	Guardians int          `json:"guardians"`
	Needed    int          `json:"guardians_needed"`
	Delay     int          `json:"recovery_delay_hours"`
	Homes     []api.Hash   `json:"homes"`
	Devices   []deviceView `json:"devices"`
	Removed   []api.Key    `json:"removed_devices"`
	Waiting   bool         `json:"waiting,omitempty"` // the device here may not sign yet
}

type deviceView struct {
	Key  api.Key `json:"key"`
	Role string  `json:"role"`
	Here bool    `json:"here"`
}

func viewOf(l *record.Log, id *identity.Identity) *logView {
	head, t := l.Head(), l.Terms()
	v := &logView{
		DID: l.DID(), Events: len(l.Events()), Head: head.ID, Kind: head.Kind.String(), Key: l.Control().Key, Hybrid: len(l.Control().Hybrid) > 0,
		Committed: !t.Next.IsZero(), Guardians: len(t.Guardians.Commitments), Needed: int(t.Guardians.Threshold), Delay: int(t.Guardians.Delay),
		Homes: append([]api.Hash{}, t.Homes...), Removed: append([]api.Key{}, l.Removed()...), Here: id != nil && id.InCharge(), Waiting: id != nil && id.Waiting(),
	}
	for _, d := range l.Devices() {
		v.Devices = append(v.Devices, deviceView{Key: d.Key, Role: d.Role.String(), Here: id != nil && d.Key == id.Device()})
	}
	return v
}

// showLog prints a log, seen from the keystore of id where that is not nil.
func (c *ctl) showLog(l *record.Log, id *identity.Identity) error {
	if l == nil {
		if c.json {
			return c.printValue(map[string]any{"device": id.Device(), "waiting": true})
		}
		c.facts("device", id.Device().String(), "waits", "yes: another device adds it with `icnctl id device add`, then `icnctl id device join` here")
		return nil
	}
	return c.showView(viewOf(l, id))
}

func (c *ctl) showView(v *logView) error {
	if c.json {
		return c.printValue(v)
	}
	c.facts("member", string(v.DID))
	c.logFacts(v)
	if v.Waiting {
		c.note("The device here waits: the log does not let it sign yet.")
	}
	return nil
}

// logFacts prints a log but for whose it is.
func (c *ctl) logFacts(v *logView) {
	charge := v.Key.String()
	if v.Here {
		charge += ", here"
	}
	if v.Hybrid {
		charge += ", with ML-DSA-65"
	}
	guardians := "none"
	if v.Guardians > 0 {
		guardians = fmt.Sprintf("%d of %d, after %d hours", v.Needed, v.Guardians, v.Delay)
	}
	c.facts("events", strconv.Itoa(v.Events), "head", v.Head.String()+", "+v.Kind, "key in charge", charge,
		"next key", map[bool]string{true: "committed: the recovery phrase rotates", false: "none: this DID cannot be rotated"}[v.Committed],
		"guardians", guardians, "homes", hashes(v.Homes), "removed devices", removed(v.Removed))
	c.devices(v)
}

func (c *ctl) devices(v *logView) {
	rows := make([][]string, len(v.Devices))
	for i, d := range v.Devices {
		rows[i] = []string{d.Key.String(), d.Role, yes(d.Here)}
	}
	c.table("No devices.", "DEVICE ROLE HERE", rows)
}

func removed(ks []api.Key) string {
	if len(ks) == 0 {
		return "none"
	}
	texts := make([]string, len(ks))
	for i, k := range ks {
		texts[i] = k.String()
	}
	return strings.Join(texts, ", ")
}

// key reads a device key.
func key(text string) (api.Key, error) {
	var k api.Key
	if err := k.UnmarshalText(bytes.TrimSpace([]byte(text))); err != nil || k == (api.Key{}) {
		return k, api.Errorf("device", api.Invalid, "device %q: want the key as `icnctl id device request` prints it, 64 hexadecimal digits", text)
	}
	return k, record.CheckKey(k)
}

func keys(texts []string) ([]api.Key, error) {
	var ks []api.Key
	for _, t := range texts {
		k, err := key(t)
		if err != nil {
			return nil, err
		}
		ks = append(ks, k)
	}
	return ks, nil
}

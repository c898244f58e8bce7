package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

func (c *ctl) recoverCardsCmd() *cobra.Command {
	var guardians []string
	var out string
	cmd := &cobra.Command{
		Use: "cards", Short: "Write the card of each guardian, with the recovery phrase", Args: cobra.NoArgs,
		Long: "A guardian keeps its card and shows it when it approves a recovery. Cards hold no secret key, but say who guards whom.",
	}
	phrase := c.phraseSource(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		var dids []api.DID
		for _, g := range guardians {
			d, err := did(g)
			if err != nil {
				return err
			}
			dids = append(dids, d)
		}
		p, err := phrase()
		if err != nil {
			return err
		}
		defer p.Wipe()
		return c.withKeystore(false, func(id *identity.Identity) error {
			if id.Log() == nil {
				return c.showLog(nil, id)
			}
			cards, err := identity.Cards(p, id.Log(), dids)
			if err != nil {
				return err
			}
			files := map[string]string{}
			for _, d := range dids {
				path := filepath.Join(out, "card-"+strings.TrimPrefix(string(d), "did:icn:")+".txt")
				if err := writeSecret(path, cards[d].Text()); err != nil {
					return err
				}
				files[string(d)] = path
			}
			return c.printFiles(files)
		})
	}
	cmd.Flags().StringSliceVar(&guardians, "guardian", nil, "DID of a guardian; repeatable")
	cmd.Flags().StringVar(&out, "out", ".", "folder for the files")
	_ = cmd.MarkFlagRequired("guardian")
	c.passphraseFlag(cmd)
	return cmd
}

// writeSecret writes a file for its owner alone, never over one that is there.
func writeSecret(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return api.Errorf("write", api.Conflict, "%w", err)
	}
	_, err = f.Write(b)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return api.Errorf("write", api.Unavailable, "%w", err)
	}
	return nil
}

// printFiles says which file is whose.
func (c *ctl) printFiles(files map[string]string) error {
	if c.json {
		return c.printValue(files)
	}
	for _, who := range sortedKeys(files) {
		c.facts(who, files[who])
	}
	return nil
}

func (c *ctl) recoverRequestCmd() *cobra.Command {
	var logFile string
	cmd := &cobra.Command{
		Use: "request", Short: "On a new device: ask the guardians of a DID to put a new key in charge", Args: cobra.NoArgs,
		Long: "For whoever has lost devices and recovery phrase. Makes a keystore and a new recovery phrase, and prints the request that goes to the guardians.\n" +
			"With enough of their approvals, `icnctl id recover apply` completes it.",
	}
	rotation, factor := rotationFlags(cmd), workFactorFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		r, err := rotation()
		if err != nil {
			return err
		}
		l, err := c.readLog(logFile)
		if err != nil {
			return err
		}
		var req *record.RecoveryRequest
		id, err := c.newKeystore(*factor, func() (id *identity.Identity, err error) {
			id, req, err = identity.AskGuardians(rand.Reader, l, r)
			return id, err
		})
		if err != nil {
			return err
		}
		defer id.Close()
		c.takePhrase(id)
		c.note("%d guardians have to approve. The old recovery phrase can object for %d hours.", l.Terms().Guardians.Threshold, l.Terms().Guardians.Delay)
		return c.printText(identity.RequestText, req.Bytes())
	}
	cmd.Flags().StringVar(&logFile, "log", "", "file with the DID's key event log, or a guardian's card; - is standard input")
	_ = cmd.MarkFlagRequired("log")
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) readRequest(path string) (*record.RecoveryRequest, error) {
	b, err := c.readFile(path)
	if err != nil {
		return nil, err
	}
	return identity.ParseRequest(b)
}

func (c *ctl) recoverApproveCmd() *cobra.Command {
	var cardFile string
	var sure bool
	cmd := &cobra.Command{
		Use: "approve REQUEST", Short: "As a guardian: approve a recovery, after you have spoken with the person", Args: cobra.ExactArgs(1),
		Long: "Shows what is asked. With --yes it prints the approval, which goes back to the person. A request proves nothing about who asks: call them first.",
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := c.readRequest(args[0])
			if err != nil {
				return err
			}
			b, err := c.readFile(cardFile)
			if err != nil {
				return err
			}
			card, err := identity.ParseCard(b)
			if err != nil {
				return err
			}
			switch r, _ := record.Compare(req.Log, card.Log); r {
			case record.Same, record.Ahead:
			default:
				return api.Errorf("recover.approve", api.Refused, "the log in the request is %s to the one on your card: ask which is right before anything else", r)
			}
			if !sure {
				pairs := []string{"asks for", string(req.Log.DID()), "key in charge now", req.Log.Control().Key.String(), "new key", req.Event.Control.Key.String()}
				for _, d := range req.Devices() {
					pairs = append(pairs, d.Role.String()+" device after", d.Key.String())
				}
				c.facts(pairs...)
				c.note("Nothing was approved. Call the person, compare the new key, then repeat this with --yes.")
				return nil
			}
			return c.withKeystore(false, func(id *identity.Identity) error {
				a, err := req.Approve(card.Salt, id.Signer())
				if err != nil {
					return err
				}
				return c.printText(identity.ApprovalText, a)
			})
		},
	}
	cmd.Flags().StringVar(&cardFile, "card", "", "file with your guardian's card")
	cmd.Flags().BoolVar(&sure, "yes", false, "approve: you have spoken with the person")
	_ = cmd.MarkFlagRequired("card")
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) recoverApplyCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply REQUEST APPROVAL...", Short: "Complete a recovery with the guardians' approvals", Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			req, err := c.readRequest(args[0])
			if err != nil {
				return err
			}
			var approvals [][]byte
			for _, path := range args[1:] {
				b, err := c.readFile(path)
				if err != nil {
					return err
				}
				a, err := identity.ParseApproval(b)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				approvals = append(approvals, a)
			}
			l, err := req.Complete(approvals...)
			if err != nil {
				return err
			}
			return c.changeLog(func(id *identity.Identity) (*record.Log, error) { return l, id.Join(l) })
		},
	}
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) idBackupCmd() *cobra.Command {
	var holders []string
	var threshold, shares int
	var out string
	cmd := &cobra.Command{
		Use: "backup", Short: "Split the recovery phrase into shares, any few of which give it again", Args: cobra.NoArgs,
	}
	phrase := c.phraseSource(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		if len(holders) == 0 {
			for i := range min(max(shares, 0), identity.MaxShares+1) {
				holders = append(holders, fmt.Sprint("holder-", i+1))
			}
		} else if shares != 0 && shares != len(holders) {
			return api.Errorf("--shares", api.Invalid, "%d shares for %d holders", shares, len(holders))
		}
		p, err := phrase()
		if err != nil {
			return err
		}
		defer p.Wipe()
		ss, err := identity.Split(rand.Reader, p, threshold, holders)
		if err != nil {
			return err
		}
		files := map[string]string{}
		for i, s := range ss {
			path := filepath.Join(out, fmt.Sprintf("share-%d.txt", i+1))
			if err := writeSecret(path, s.Text()); err != nil {
				return err
			}
			files[s.Holder] = path
		}
		c.note("Give each holder their share, then delete the files: %d of them together are the phrase.", threshold)
		return c.printFiles(files)
	}
	cmd.Flags().IntVar(&shares, "shares", 0, "number of shares, when their holders are not named")
	cmd.Flags().IntVar(&threshold, "threshold", 2, "how many shares give the phrase")
	cmd.Flags().StringSliceVar(&holders, "holder", nil, "name of who keeps a share; repeatable")
	cmd.Flags().StringVar(&out, "out", ".", "folder for the files")
	return cmd
}

func (c *ctl) idCombineCmd() *cobra.Command {
	return &cobra.Command{
		Use: "combine SHARE...", Short: "Make the recovery phrase again from the shares of a backup", Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var ss []*identity.Share
			for _, path := range args {
				b, err := c.readFile(path)
				if err != nil {
					return err
				}
				s, err := identity.ParseShare(b)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				ss = append(ss, s)
			}
			p, bad, err := identity.Combine(ss)
			for _, who := range bad {
				c.note("The share of %s is bad, or of another backup.", clean(who))
			}
			if err != nil {
				return err
			}
			defer p.Wipe()
			words := p.Words()
			defer clear(words)
			if c.json {
				return c.printValue(map[string]any{"recovery_phrase": string(words), "bad": bad})
			}
			return c.print(append(words, '\n'))
		},
	}
}

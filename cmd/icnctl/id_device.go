package main

import (
	"crypto/rand"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

func (c *ctl) deviceListCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the devices in the keystore's key event log", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return c.withKeystore(false, func(id *identity.Identity) error {
				l := id.Log()
				if l == nil {
					return c.showLog(nil, id)
				}
				v := viewOf(l, id)
				if c.json {
					return c.printValue(v.Devices)
				}
				c.devices(v)
				return nil
			})
		},
	}
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) deviceRequestCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "request", Short: "On a new device: make a keystore that waits to be added to a DID", Args: cobra.NoArgs,
		Long: "Makes a keystore with new device and node keys and prints the device key. On the device that holds the key in charge, `icnctl id device add KEY`\n" +
			"adds it and prints the new log; `icnctl id device join FILE` here reads that.",
	}
	factor := workFactorFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		id, err := c.newKeystore(*factor, func() (*identity.Identity, error) { return identity.NewDevice(rand.Reader) })
		if err != nil {
			return err
		}
		defer id.Close()
		if c.json {
			return c.printValue(map[string]any{"device": id.Device(), "waiting": true})
		}
		if _, err := fmt.Fprintln(c.out, id.Device()); err != nil {
			return err
		}
		c.note("Add it on the device that holds the key in charge: icnctl id device add %s", id.Device())
		return nil
	}
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) deviceAddCmd() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "add KEY", Short: "Let another device sign for this DID, or give one another role", Args: cobra.ExactArgs(1),
		Long: "Prints the new key event log: the added device reads it with `icnctl id device join`.",
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := key(args[0])
			if err != nil {
				return err
			}
			r, err := record.ParseRole(role)
			if err != nil {
				return err
			}
			return c.changeLog(func(id *identity.Identity) (*record.Log, error) { return id.AddDevice(k, r) })
		},
	}
	cmd.Flags().StringVar(&role, "role", record.Secondary.String(), "primary or secondary; one device at most is primary")
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) deviceRemoveCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "remove KEY", Short: "End what a device may sign; it never comes back", Args: cobra.ExactArgs(1),
		Long: "For a device that is lost. If its key may be in other hands, and it held the key in charge, rotate as well: `icnctl id rotate --remove KEY`.\n" +
			"Prints the new key event log.",
		RunE: func(_ *cobra.Command, args []string) error {
			k, err := key(args[0])
			if err != nil {
				return err
			}
			return c.changeLog(func(id *identity.Identity) (*record.Log, error) { return id.RemoveDevice(k) })
		},
	}
	c.passphraseFlag(cmd)
	return cmd
}

// changeLog changes the keystore's log, saves it and prints it.
func (c *ctl) changeLog(do func(*identity.Identity) (*record.Log, error)) error {
	var l *record.Log
	err := c.withKeystore(true, func(id *identity.Identity) (err error) {
		l, err = do(id)
		return err
	})
	if err != nil {
		return err
	}
	return c.printLog(l)
}

func (c *ctl) deviceJoinCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "join FILE", Short: "Take a key event log that another device has made longer; - is standard input", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := c.readLog(args[0])
			if err != nil {
				return err
			}
			var v *logView
			err = c.withKeystore(true, func(id *identity.Identity) error {
				if err := id.Join(l); err != nil {
					return err
				}
				v = viewOf(id.Log(), id)
				return nil
			})
			if err != nil {
				return err
			}
			return c.showView(v)
		},
	}
	c.passphraseFlag(cmd)
	return cmd
}

// rotationFlags adds what a rotation may change.
func rotationFlags(cmd *cobra.Command) func() (identity.Rotation, error) {
	f := cmd.Flags()
	remove := f.StringSlice("remove", nil, "device to remove; repeatable")
	guardians := f.StringSlice("guardian", nil, "DID of a guardian; repeatable; all of them are named anew")
	threshold := f.Int("threshold", 0, "how many guardians together recover the DID")
	delay := f.Int("delay", 72, "hours between a recovery's becoming known and its effect")
	homes := f.StringSlice("home", nil, "id of a space whose witnesses make events final; repeatable")
	hybrid := f.Bool("hybrid", false, "commit to a key with an ML-DSA-65 half; once so, always")
	return func() (identity.Rotation, error) {
		r := identity.Rotation{Hybrid: *hybrid}
		var err error
		if r.Remove, err = keys(*remove); err != nil {
			return r, err
		}
		for _, h := range *homes {
			id, err := spaceID(h)
			if err != nil {
				return r, err
			}
			r.Homes = append(r.Homes, id)
		}
		if len(*guardians) > 0 {
			r.Guardians = &identity.GuardianPlan{Threshold: *threshold, DelayHours: *delay}
			for _, g := range *guardians {
				d, err := did(g)
				if err != nil {
					return r, err
				}
				r.Guardians.DIDs = append(r.Guardians.DIDs, d)
			}
		} else if *threshold != 0 {
			return r, api.Errorf("--threshold", api.Invalid, "name the guardians too, with --guardian")
		}
		return r, nil
	}
}

func (c *ctl) idRotateCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Put the next key in charge, with the recovery phrase", Args: cobra.NoArgs,
		Long: "Whoever has stolen the key in charge loses it by this. Guardians and homes are changed in the same way. Prints the new key event log.",
	}
	rotation, phrase := rotationFlags(cmd), c.phraseSource(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		r, err := rotation()
		if err != nil {
			return err
		}
		p, err := phrase()
		if err != nil {
			return err
		}
		defer p.Wipe()
		err = c.changeLog(func(id *identity.Identity) (*record.Log, error) { return id.Rotate(p, r) })
		if err == nil && r.Guardians != nil {
			c.note("Give each guardian their card: icnctl id recover cards")
		}
		return err
	}
	c.passphraseFlag(cmd)
	return cmd
}

func (c *ctl) idRestoreCmd() *cobra.Command {
	var logFile string
	cmd := &cobra.Command{
		Use: "restore", Short: "On a new device: be a DID again, with the recovery phrase alone", Args: cobra.NoArgs,
		Long: "Makes a keystore with new device and node keys and rotates the DID's key event log to it. The log is public: a peer, another device or a\n" +
			"guardian's card has it. It must be the newest one. Prints the new log.",
	}
	rotation, phrase, factor := rotationFlags(cmd), c.phraseSource(cmd), workFactorFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		r, err := rotation()
		if err != nil {
			return err
		}
		l, err := c.readLog(logFile)
		if err != nil {
			return err
		}
		p, err := phrase()
		if err != nil {
			return err
		}
		defer p.Wipe()
		id, err := c.newKeystore(*factor, func() (*identity.Identity, error) { return identity.Restore(rand.Reader, l, p, r) })
		if err != nil {
			return err
		}
		defer id.Close()
		c.note("%s signs for %s now.", id.Device(), id.DID())
		return c.printLog(id.Log())
	}
	cmd.Flags().StringVar(&logFile, "log", "", "file with the DID's key event log, or a guardian's card; - is standard input")
	_ = cmd.MarkFlagRequired("log")
	c.passphraseFlag(cmd)
	return cmd
}

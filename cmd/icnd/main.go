// Command icnd is the ICN daemon: one node, one data directory. `icnd init` makes the directory, `icnd` runs the node until SIGTERM or SIGINT.
//
// Exit codes: 0 done, 1 failure, 2 usage or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	_ "time/tzdata" // standing orders name time zones, and not every machine has them

	"github.com/spf13/cobra"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node"
	"github.com/intercooperative/icn/node/config"
)

func main() { os.Exit(run()) }

func run() int {
	runtime.MemProfileRate = 0 // nobody asks icnd for a heap profile, and its table takes 1.5 MB
	config.UseProcessors()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := root().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "icnd:", err)
	var known *api.Error
	if !errors.As(err, &known) { // cobra's own: an unknown flag or command
		return api.Invalid.ExitCode()
	}
	return known.Kind.ExitCode()
}

func root() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: "icnd", Short: "The ICN daemon: one node, one data directory", Args: cobra.NoArgs, Version: config.Version(), SilenceErrors: true, SilenceUsage: true,
		Long: "Runs one ICN node on one data directory until SIGTERM or SIGINT. Each flag wins over the environment (ICN_SECTION_KEY), which wins over the configuration file.",
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.register(cmd.PersistentFlags())
	cmd.AddCommand(
		&cobra.Command{Use: "run", Short: "Run the node until SIGTERM or SIGINT", Args: cobra.NoArgs, RunE: cmd.RunE},
		&cobra.Command{
			Use: "init", Short: "Make the data directory: a keystore and a commented configuration", Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error { return s.init(cmd) },
		},
		&cobra.Command{
			Use: "version", Short: "Print the version", Args: cobra.NoArgs,
			Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "icnd", config.Version()) },
		},
	)
	return cmd
}

func (s *settings) run(cmd *cobra.Command) error {
	cfg, err := s.load(cmd.Flags())
	if err != nil {
		return err
	}
	return node.Run(cmd.Context(), cfg, node.Options{Version: config.Version(), Passphrase: s.passphrase(), AnyStore: s.adopt, Log: os.Stderr})
}

func (s *settings) init(cmd *cobra.Command) error {
	passphrase, err := s.passphrase().Read(true)
	if err != nil {
		return err
	}
	defer clear(passphrase)
	dir := config.DataDir(s.dataDir, os.Environ())
	if dir == "" {
		return api.Errorf("icnd.init", api.Invalid, "no data directory: HOME is not set; name one with --data-dir")
	}
	made, err := config.Init(dir, passphrase, 0)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n", made.DID)
	fmt.Fprintf(cmd.ErrOrStderr(), "Recovery phrase, shown this once: write it on paper, it is in no file.\n\n  %s\n\n", made.Phrase)
	fmt.Fprintf(cmd.ErrOrStderr(), "Made %s in %s. Copy it to a safe place: who loses it, or its passphrase, needs the recovery phrase to be this member again.\n", identity.KeystoreFile, made.DataDir)
	return nil
}

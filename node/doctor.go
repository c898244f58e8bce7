package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

// care tells the kernel which time servers to ask, and what node.doctor looks at beside the kernel.
func care(cfg *config.Config, opt Options) kernel.CareOptions {
	c := *cfg
	c.Identity.PassphraseFile = cmp.Or(cfg.Identity.PassphraseFile, opt.Passphrase.File)
	return kernel.CareOptions{
		TimeServers: cfg.Clock.NTPServers, TimeInterval: time.Duration(cfg.Clock.NTPInterval), MaxSkew: time.Duration(cfg.Clock.MaxSkew),
		Checks: []func(context.Context) []kernel.Check{func(context.Context) []kernel.Check { return checkKeys(&c) }},
	}
}

// DoctorOffline examines the data directory of a node that does not answer: what can be said without it.
func DoctorOffline(cfg *config.Config, why error) *kernel.DoctorOut {
	checks := []kernel.Check{{
		Name: "daemon", State: kernel.CheckFail, Value: why.Error(), Next: fmt.Sprintf("start it with `icnd run --data-dir %s`; its log says what is in the way", cfg.DataDir),
	}}
	return kernel.Diagnose(append(checks, checkKeys(cfg)...))
}

// checkKeys looks at the files with secrets, whose content is nobody's business: who can read them is.
func checkKeys(cfg *config.Config) []kernel.Check {
	return []kernel.Check{
		checkDir(cfg.DataDir),
		checkSecret("keystore", filepath.Join(cfg.DataDir, identity.KeystoreFile), 0o077, "make one with `icnd init`, or put your copy back"),
		checkPassphraseFile(cfg.Identity.PassphraseFile),
	}
}

func checkDir(dir string) kernel.Check {
	c := kernel.Check{Name: "data-dir", State: kernel.CheckOK, Value: dir}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		c.State, c.Value, c.Next = kernel.CheckFail, err.Error(), "make it with `icnd init`"
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		c.State, c.Value, c.Next = kernel.CheckFail, fmt.Sprintf("%s can be written by others (mode %04o)", dir, info.Mode().Perm()), "chmod 700 "+dir
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
		c.State, c.Value, c.Next = kernel.CheckWarn, fmt.Sprintf("%s can be read by others (mode %04o)", dir, info.Mode().Perm()), "chmod 700 "+dir
	}
	return c
}

func checkPassphraseFile(path string) kernel.Check {
	if path == "" {
		return kernel.Check{Name: "passphrase", State: kernel.CheckSkip, Value: "comes from no file"}
	}
	// A mounted secret may be readable by a group, which is what keystore and daemon accept.
	return checkSecret("passphrase", path, 0o007, "put the passphrase there: the node cannot start again without it")
}

// checkSecret wants a file that the node can read and those whom the mask names cannot.
func checkSecret(name, path string, mask fs.FileMode, missing string) kernel.Check {
	c := kernel.Check{Name: name, State: kernel.CheckOK, Value: path}
	info, err := os.Stat(path)
	if err == nil {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			err = f.Close()
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.State, c.Value, c.Next = kernel.CheckFail, err.Error(), missing
	case err != nil:
		c.State, c.Value, c.Next = kernel.CheckFail, err.Error(), "give it to the node's user, mode 0600"
	case runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode().Perm()&mask != 0:
		c.State, c.Value, c.Next = kernel.CheckFail, fmt.Sprintf("%s can be read by others (mode %04o)", path, info.Mode().Perm()), "chmod 600 "+path
	}
	return c
}

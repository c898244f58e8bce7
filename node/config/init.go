package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

// InitResult is what Init made.
type InitResult struct {
	DataDir string  `json:"data_dir"`
	DID     api.DID `json:"did"`
	Device  api.Key `json:"device"`
	Config  string  `json:"config"`          // path of the configuration file
	Phrase  string  `json:"recovery_phrase"` // to be shown this once: it stands nowhere else
}

// Init makes a data directory: the keystore, encrypted to the passphrase, and a configuration file in which every default stands as a comment. A
// keystore that is there is never touched: that is a Conflict. A configuration file that is there is kept. WorkFactor is that of
// identity.Create; 0 is right for people.
func Init(dir string, passphrase []byte, workFactor int) (*InitResult, error) {
	id, err := identity.Create(dir, passphrase, workFactor)
	if err != nil {
		return nil, err
	}
	defer id.Close()
	path := filepath.Join(dir, File)
	if err := WriteFile(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, api.Wrap("config.init", err)
	}
	out := &InitResult{DataDir: dir, DID: id.DID(), Device: id.Device(), Config: path}
	if p := id.TakePhrase(); p != nil {
		out.Phrase = string(p.Words())
		p.Wipe()
	}
	return out, nil
}

// WriteFile writes a configuration file of defaults, all of them comments. A file that is there is a Conflict that wraps fs.ErrExist.
func WriteFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return api.Errorf("config.init", api.Conflict, "%s is there already: %w", path, err)
	}
	if err != nil {
		return api.Errorf("config.init", api.Unavailable, "%w", err)
	}
	_, err = f.Write(Template())
	if err := errors.Join(err, f.Close()); err != nil {
		return api.Errorf("config.init", api.Unavailable, "%w", err)
	}
	return nil
}

// Template returns a configuration file in which every key stands, with its meaning, as a comment that shows the default.
func Template() []byte {
	var b bytes.Buffer
	b.WriteString("# The configuration of an ICN node. What is commented out is the default.\n# Flags win over the environment, the environment over this file.\n")
	defaults := Defaults()
	v := reflect.ValueOf(defaults)
	section := ""
	for _, k := range keys() {
		if k.section != section {
			section = k.section
			fmt.Fprintf(&b, "\n[%s]\n", section)
		}
		fmt.Fprintf(&b, "# %s (%s)\n#%s = %s\n", k.doc, k.env, k.name, literal(v.FieldByIndex(k.index).Interface()))
	}
	return b.Bytes()
}

package identity_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
)

func env(v string) func(string) (string, bool) {
	return func(name string) (string, bool) { return v, name == identity.PassphraseEnv }
}

func TestPassphraseSources(t *testing.T) {
	dir := t.TempDir()
	file := func(content string, mode fs.FileMode) string {
		path := filepath.Join(dir, fmt.Sprint(len(content), mode.Perm()))
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for name, tc := range map[string]struct {
		src     identity.PassphraseSource
		confirm bool
		want    string
		fails   string
	}{
		"environment":         {identity.PassphraseSource{LookupEnv: env("from env\n")}, false, "from env\n", ""},
		"file":                {identity.PassphraseSource{File: file("from file\n", 0o600)}, false, "from file", ""},
		"file before env":     {identity.PassphraseSource{File: file("from file", 0o600), LookupEnv: env("x")}, false, "from file", ""},
		"file, Windows":       {identity.PassphraseSource{File: file("from  file\r\n", 0o600)}, false, "from  file", ""},
		"one line end only":   {identity.PassphraseSource{File: file(" from file \n\n", 0o600)}, false, " from file \n", ""},
		"mounted secret":      {identity.PassphraseSource{File: file("from   file\n", 0o440)}, false, "from   file", ""},
		"file for everybody":  {identity.PassphraseSource{File: file("from file\n", 0o644)}, false, "", "chmod 600"},
		"empty file":          {identity.PassphraseSource{File: file("\n", 0o600)}, false, "", "empty"},
		"huge file":           {identity.PassphraseSource{File: file(strings.Repeat("x", 1025), 0o600)}, false, "", "at most 1024"},
		"no file":             {identity.PassphraseSource{File: filepath.Join(dir, "none"), LookupEnv: env("x")}, false, "", "no such file"},
		"short, for opening":  {identity.PassphraseSource{LookupEnv: env("short")}, false, "short", ""},
		"short, for creating": {identity.PassphraseSource{LookupEnv: env("short")}, true, "", "at least 8"},
		"for creating":        {identity.PassphraseSource{LookupEnv: env("long enough")}, true, "long enough", ""},
		"empty variable":      {identity.PassphraseSource{LookupEnv: env("")}, false, "", "--passphrase-file"},
		"not a terminal":      {identity.PassphraseSource{In: null}, false, "", identity.PassphraseEnv},
		"nothing":             {identity.PassphraseSource{}, false, "", identity.PassphraseEnv},
	} {
		got, err := tc.src.Read(tc.confirm)
		if tc.fails == "" && (err != nil || string(got) != tc.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tc.want)
		}
		if tc.fails != "" && (api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.fails)) {
			t.Errorf("%s: %q, %v; want the error to say %q", name, got, err, tc.fails)
		}
		if err != nil && (strings.Contains(err.Error(), "short") || got != nil) {
			t.Errorf("%s: %q, the error shows %v", name, got, err)
		}
	}
}

func ExamplePassphraseSource() {
	os.Setenv(identity.PassphraseEnv, "correct horse battery")
	defer os.Unsetenv(identity.PassphraseEnv)
	p, err := identity.PassphraseSource{LookupEnv: os.LookupEnv, In: os.Stdin, Prompt: os.Stderr}.Read(true)
	fmt.Printf("%s %v\n", p, err)
	// Output: correct horse battery <nil>
}

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	gotoml "github.com/pelletier/go-toml/v2"

	"github.com/intercooperative/icn/kernel/api"
)

const (
	envPrefix = "ICN_"
	// EnvDataDir is the environment variable that names the data directory.
	EnvDataDir = "ICN_DATA_DIR"
	// EnvTokenSecret is the environment variable that holds Config.TokenSecret.
	EnvTokenSecret = "ICN_GATEWAY_JWT_SECRET"
	// maxConfig bounds a configuration file.
	maxConfig = 1 << 20
	// maxTypo is how many edits an environment variable may be away from one of ours to be taken for a slip.
	maxTypo = 2
)

// Sources say where a configuration comes from. What comes first wins: flags, environment, file, defaults.
type Sources struct {
	DataDir string         // "" is $ICN_DATA_DIR, else in the user's data directory
	File    string         // "" is icn.toml in the data directory, if it is there
	Env     []string       // as os.Environ returns it; nil reads none
	Flags   map[string]any // by `section.name`, only those that were given
}

// Load reads and checks a configuration. Every error is of kind Invalid and says which key, in which source, is wrong and how to put it right.
func Load(src Sources) (*Config, error) {
	cfg := Defaults()
	if cfg.DataDir = src.DataDir; cfg.DataDir == "" {
		cfg.DataDir = dataDir(src.Env)
	}
	if cfg.DataDir == "" {
		return nil, api.Errorf("config", api.Invalid, "no data directory: HOME is not set; name one with --data-dir or %s", EnvDataDir)
	}
	ko := koanf.New(".")
	if err := ko.Load(confmap.Provider(flat(&cfg), "."), nil); err != nil {
		return nil, api.Errorf("config", api.Internal, "%w", err)
	}
	if err := loadFile(ko, src, cfg.DataDir); err != nil {
		return nil, err
	}
	if err := loadEnv(ko, src.Env); err != nil {
		return nil, err
	}
	if err := ko.Load(confmap.Provider(src.Flags, "."), nil); err != nil {
		return nil, api.Errorf("config", api.Internal, "%w", err)
	}
	if err := ko.Unmarshal("", &cfg); err != nil {
		return nil, api.Errorf("config", api.Invalid, "%w", err)
	}
	cfg.TokenSecret = Secret(Getenv(src.Env, EnvTokenSecret))
	return &cfg, cfg.Validate()
}

// Getenv returns the value of a variable, "" for none.
func Getenv(environ []string, name string) string {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// dataDir returns the directory that the environment names: ICN_DATA_DIR, else icn in the user's data directory as the XDG base directory
// specification has it, ~/.local/share; "" when it names none.
func dataDir(environ []string) string {
	get := func(name string) string { return Getenv(environ, name) }
	if d := get(EnvDataDir); d != "" {
		return d
	}
	if d := get("XDG_DATA_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "icn")
	}
	if d := get("HOME"); d != "" {
		return filepath.Join(d, ".local", "share", "icn")
	}
	return ""
}

// DataDir returns dir, or when it is "" the directory that the environment names, or "".
func DataDir(dir string, environ []string) string {
	if dir != "" {
		return dir
	}
	return dataDir(environ)
}

func flat(c *Config) map[string]any {
	out := map[string]any{}
	v := reflect.ValueOf(*c)
	for _, k := range keys() {
		out[k.path()] = v.FieldByIndex(k.index).Interface()
	}
	return out
}

func loadFile(ko *koanf.Koanf, src Sources, dir string) error {
	path := src.File
	if path == "" {
		path = filepath.Join(dir, File)
	}
	raw, err := readConfig(path)
	if errors.Is(err, fs.ErrNotExist) && src.File == "" {
		return nil
	}
	if err != nil {
		return api.Errorf("config", api.Invalid, "%w", err)
	}
	file := koanf.New(".")
	if err := file.Load(rawbytes.Provider(raw), toml.Parser()); err != nil {
		var at *gotoml.DecodeError
		if errors.As(err, &at) {
			row, col := at.Position()
			return api.Errorf("config", api.Invalid, "%s:%d:%d: %s", path, row, col, strings.TrimPrefix(at.Error(), "toml: "))
		}
		return api.Errorf("config", api.Invalid, "%s: %w", path, err)
	}
	all := keys()
	var problems []string
	values := file.All()
	for _, name := range file.Keys() {
		i := slices.IndexFunc(all, func(k key) bool { return k.path() == name })
		if i < 0 {
			if _, empty := values[name].(map[string]any); empty && slices.ContainsFunc(all, func(k key) bool { return k.section == name }) {
				continue // a section with nothing in it
			}
			problems = append(problems, fmt.Sprintf("%s: %s is not a key; the nearest is %s", path, name, nearest(name)))
		} else if want := misfit(all[i].typ, values[name]); want != "" {
			problems = append(problems, fmt.Sprintf("%s: %s = %s: want %s", path, name, literal(values[name]), want))
		}
	}
	if len(problems) > 0 {
		return api.Errorf("config", api.Invalid, "%s", strings.Join(problems, "\n"))
	}
	return ko.Merge(file)
}

func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(b) > maxConfig {
		err = fmt.Errorf("%s: more than %d bytes cannot be a configuration", path, maxConfig)
	}
	return b, err
}

// misfit says what a value from the file should have been, or "" when it fits. The decoder alone would turn 100.5 peers into 100.
func misfit(t reflect.Type, v any) string {
	ok := false
	if t == durationType {
		text, isText := v.(string)
		if ok = isText && new(Duration).UnmarshalText([]byte(text)) == nil; ok {
			return ""
		}
		return wanted(t)
	}
	switch t.Kind() {
	case reflect.String:
		_, ok = v.(string)
	case reflect.Bool:
		_, ok = v.(bool)
	case reflect.Int:
		_, ok = v.(int64)
	case reflect.Float64:
		if _, ok = v.(float64); !ok {
			_, ok = v.(int64)
		}
	case reflect.Slice:
		var list []any
		list, ok = v.([]any)
		ok = ok && !slices.ContainsFunc(list, func(e any) bool { _, text := e.(string); return !text })
	}
	if ok {
		return ""
	}
	return wanted(t)
}

func wanted(t reflect.Type) string {
	if t == durationType {
		return "a time such as 90s, 15m or 1h"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list of texts"
	}
	return "a text"
}

// loadEnv takes the variables that name a key. One that begins like ours and names none is refused, since its author expects it to count.
func loadEnv(ko *koanf.Koanf, environ []string) error {
	all := keys()
	var problems []string
	transform := func(name, value string) (string, any) {
		for _, k := range all {
			if k.env != name {
				continue
			}
			v, ok := parse(k.typ, value)
			if !ok {
				problems = append(problems, fmt.Sprintf("%s=%s: want %s", name, value, wanted(k.typ)))
			}
			return k.path(), v
		}
		if name == EnvTokenSecret {
			return "", nil
		}
		if guess, ours := nearestEnv(all, name); ours {
			problems = append(problems, fmt.Sprintf("%s names no key; the nearest is %s", name, guess))
		}
		return "", nil
	}
	p := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: transform, EnvironFunc: func() []string { return environ }})
	if err := ko.Load(p, nil); err != nil {
		return api.Errorf("config", api.Internal, "%w", err)
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return api.Errorf("config", api.Invalid, "%s", strings.Join(problems, "\n"))
	}
	return nil
}

func nearestEnv(all []key, name string) (guess string, ours bool) {
	least := -1
	for _, k := range all {
		if d := distance(k.env, name); least < 0 || d < least {
			guess, least = k.env, d
		}
		ours = ours || strings.HasPrefix(name, envPrefix+strings.ToUpper(k.section)+"_")
	}
	return guess, ours || least <= maxTypo
}

// parse reads a value of the environment; a list is separated by commas.
func parse(t reflect.Type, s string) (any, bool) {
	var v any = s
	var err error
	if t == durationType {
		return v, new(Duration).UnmarshalText([]byte(s)) == nil
	}
	switch t.Kind() {
	case reflect.Bool:
		v, err = strconv.ParseBool(s)
	case reflect.Int:
		v, err = strconv.Atoi(s)
	case reflect.Float64:
		v, err = strconv.ParseFloat(s, 64)
	case reflect.Slice:
		list := []string{}
		for _, e := range strings.Split(s, ",") {
			if e = strings.TrimSpace(e); e != "" {
				list = append(list, e)
			}
		}
		v = list
	}
	return v, err == nil
}

package config

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

var peer = "icn://" + string(record.DIDOf(api.Key(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)))) + "@example.org:7100"

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		flags      map[string]any
		want       func(*Config)
		err        []string // parts of the error; nil for none
	}{
		{name: "defaults", want: func(*Config) {}},
		{
			name: "file",
			file: "[network]\nbind_addr = \"127.0.0.1:1\"\nenable_mdns = false\nbootstrap_peers = [\"" + peer + "\"]\nmax_peers = 7\n[rpc]\nbind = \"unix:/x\"\n[store]\n",
			want: func(c *Config) {
				c.Network = Network{BindAddr: "127.0.0.1:1", BootstrapPeers: []string{peer}, MaxPeers: 7}
				c.RPC.Bind = "unix:/x"
			},
		},
		{
			name:  "flags over environment over file",
			file:  "[network]\nmax_peers = 1\nbind_addr = \"127.0.0.1:1\"\n[observability]\nlog_level = \"warn\"\n",
			env:   []string{"ICN_NETWORK_MAX_PEERS=2", "ICN_NETWORK_BIND_ADDR=127.0.0.1:2", "ICN_NETWORK_ENABLE_MDNS=false", "ICN_NETWORK_BOOTSTRAP_PEERS= " + peer + " ,", "PATH=/bin", "ICN_KEYSTORE_PASSPHRASE=x"},
			flags: map[string]any{"network.max_peers": 3, "network.bootstrap_peers": []string{}},
			want: func(c *Config) {
				c.Network = Network{BindAddr: "127.0.0.1:2", BootstrapPeers: []string{}, MaxPeers: 3}
				c.Observability.LogLevel = "warn"
			},
		},
		{name: "typo in a key", file: "[network]\nbind_adr = \"x\"\n", err: []string{"icn.toml: network.bind_adr is not a key", "nearest is network.bind_addr"}},
		{name: "typo in a section", file: "[netwark]\nmax_peers = 1\n", err: []string{"netwark.max_peers is not a key", "nearest is network.max_peers"}},
		{name: "empty unknown section", file: "[netwark]\n", err: []string{"netwark is not a key", "nearest is network"}},
		{name: "wrong section", file: "[network]\nmetrics_port = 1\n", err: []string{"nearest is observability.metrics_port"}},
		{name: "section as value", file: "network = 5\n", err: []string{"network is not a key"}},
		{name: "two problems at once", file: "[network]\nfoo = 1\nmax_peers = \"many\"\n", err: []string{"network.foo", `network.max_peers = "many": want a whole number`}},
		{name: "a fraction of a peer", file: "[network]\nmax_peers = 100.5\n", err: []string{"network.max_peers = 100.5: want a whole number"}},
		{name: "text for bool", file: "[network]\nenable_mdns = \"yes\"\n", err: []string{"want true or false"}},
		{
			name: "clock", file: "[clock]\nntp_servers = [\"a.example\", \"b.example:1123\", \"c.example\"]\nntp_interval = \"1h\"\n", env: []string{"ICN_CLOCK_MAX_SKEW=1m30s"},
			want: func(c *Config) {
				c.Clock = Clock{NTPServers: []string{"a.example", "b.example:1123", "c.example"}, NTPInterval: Duration(time.Hour), MaxSkew: Duration(90 * time.Second)}
			},
		},
		{name: "two time servers", file: "[clock]\nntp_servers = [\"a\", \"b\"]\n", err: []string{"clock.ntp_servers", "3 to 16"}},
		{name: "one time server three times", file: "[clock]\nntp_servers = [\"a\", \"b\", \"a\"]\n", err: []string{`clock.ntp_servers = "a"`, "each once"}},
		{name: "a rude interval", file: "[clock]\nntp_interval = \"1s\"\nmax_skew = \"0s\"\n", err: []string{`clock.ntp_interval = "1s": want 1m to 24h`, "clock.max_skew"}},
		{name: "a number for a time", file: "[clock]\nntp_interval = 900\n", err: []string{"clock.ntp_interval = 900: want a time such as 90s"}},
		{name: "no time", env: []string{"ICN_CLOCK_MAX_SKEW=soon"}, err: []string{"ICN_CLOCK_MAX_SKEW=soon: want a time"}},
		{
			name: "gateway", file: "[gateway]\nenable = true\ncors_origins = [\"https://a.example\"]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\nrequest_timeout = \"90s\"\n", env: []string{"ICN_GATEWAY_MAX_BODY=4096"},
			want: func(c *Config) {
				c.Gateway.Enable, c.Gateway.CORSOrigins, c.Gateway.TrustedProxies = true, []string{"https://a.example"}, []string{"127.0.0.1", "10.0.0.0/8"}
				c.Gateway.RequestTimeout, c.Gateway.MaxBody = Duration(90*time.Second), 4096
			},
		},
		{
			name: "gateway values", file: "[gateway]\nbind = \"8080\"\ntls_key = \"k.pem\"\ncors_origins = [\"https://a.example/\", \"a.example\"]\ntrusted_proxies = [\"home\"]\nmax_requests = 0\nmax_streams = -1\nmax_body = 1\n" +
				"request_timeout = \"1h\"\nstranger_rate = 0\nstranger_burst = 0\n",
			err: []string{
				`gateway.bind = "8080": want host:port`, "gateway.tls_cert", `gateway.cors_origins = "https://a.example/"`, `gateway.cors_origins = "a.example"`, "gateway.trusted_proxies", "gateway.max_requests = 0",
				"gateway.max_streams", "gateway.max_body", "gateway.request_timeout", "gateway.stranger_rate", "gateway.stranger_burst",
			},
		},
		{name: "number for text", file: "[network]\nbind_addr = 7100\n", err: []string{"want a text"}},
		{name: "mixed list", file: "[network]\nbootstrap_peers = [1]\n", err: []string{"want a list of texts"}},
		{name: "not TOML", file: "[network\n", err: []string{"icn.toml:1:"}},
		{name: "environment typo", env: []string{"ICN_NETWORK_BIND_ADRR=x"}, err: []string{"ICN_NETWORK_BIND_ADRR names no key", "ICN_NETWORK_BIND_ADDR"}},
		{name: "environment section typo", env: []string{"ICN_NETWARK_MAX_PEERS=1"}, err: []string{"nearest is ICN_NETWORK_MAX_PEERS"}},
		{name: "environment type", env: []string{"ICN_NETWORK_MAX_PEERS=many"}, err: []string{"ICN_NETWORK_MAX_PEERS=many: want a whole number"}},
		{
			name: "values", file: "[network]\nbind_addr = \"nonsense\"\nmax_peers = 0\nbootstrap_peers = [\"1.2.3.4:7100\"]\n[rpc]\nbind = \"0.0.0.0:1\"\n[store]\nengine = \"oracle\"\n" +
				"[observability]\nlog_level = \"loud\"\nlog_format = \"xml\"\nmetrics_bind = \"here\"\nmetrics_port = 70000\n",
			err: []string{
				`network.bind_addr = "nonsense": want host:port`, "network.max_peers = 0: want 1 to 10000", `network.bootstrap_peers = "1.2.3.4:7100"`, "rpc.bind", "want unix:PATH",
				"store.engine", "want pebble, mem or postgres://", "observability.log_level", "want debug", "log_format", "want json or text", "metrics_bind", "metrics_port = 70000",
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.file != "" {
				if err := os.WriteFile(filepath.Join(dir, File), []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Load(Sources{DataDir: dir, Env: c.env, Flags: c.flags})
			if c.err != nil {
				if api.KindOf(err) != api.Invalid {
					t.Fatalf("error %v", err)
				}
				for _, part := range c.err {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("%q lacks %q", err, part)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Defaults()
			want.DataDir = dir
			c.want(&want)
			if !reflect.DeepEqual(*got, want) {
				t.Errorf("got  %+v\nwant %+v", *got, want)
			}
		})
	}
}

func TestNamedFileMustExist(t *testing.T) {
	_, err := Load(Sources{DataDir: t.TempDir(), File: "/no/such/file"})
	if api.KindOf(err) != api.Invalid || !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, make([]byte, maxConfig+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(Sources{DataDir: t.TempDir(), File: big}); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error(err)
	}
}

func TestDataDir(t *testing.T) {
	for _, c := range []struct {
		dir  string
		env  []string
		want string
	}{
		{"/d", []string{"ICN_DATA_DIR=/e"}, "/d"},
		{"", []string{"HOME=/h", "ICN_DATA_DIR=/e"}, "/e"},
		{"", []string{"HOME=/h", "XDG_DATA_HOME=/x"}, "/x/icn"},
		{"", []string{"HOME=/h", "XDG_DATA_HOME=relative"}, "/h/.local/share/icn"},
		{"", nil, ""},
	} {
		if got := DataDir(c.dir, c.env); got != c.want {
			t.Errorf("%q %v: %q, want %q", c.dir, c.env, got, c.want)
		}
	}
	if _, err := Load(Sources{}); api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), "--data-dir") {
		t.Error(err)
	}
}

// The file that Init writes is empty in effect, and with the comments taken away it is the defaults: so every key in it is one, and every value fits.
func TestTemplate(t *testing.T) {
	dir := t.TempDir()
	want := Defaults()
	want.DataDir = dir
	path := filepath.Join(dir, File)
	var uncommented []string
	for line := range strings.Lines(string(Template())) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		uncommented = append(uncommented, line)
	}
	if n := strings.Count(strings.Join(uncommented, ""), " = "); n < len(keys()) {
		t.Errorf("%d keys in the template, %d exist", n, len(keys()))
	}
	for _, text := range []string{string(Template()), strings.Join(uncommented, "")} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := Load(Sources{DataDir: dir})
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	for _, k := range keys() {
		if k.doc == "" || k.section == "" || k.name == "" {
			t.Errorf("%+v", k)
		}
	}
	c := Defaults()
	c.DataDir = "/d"
	eff := c.Effective()
	for _, k := range keys() {
		if _, ok := eff[k.section].(map[string]any)[k.name]; !ok {
			t.Errorf("%s is not shown", k.path())
		}
	}
	if got := eff["rpc"].(map[string]any)["bind"]; got != "unix:/d/icnd.sock" {
		t.Errorf("rpc.bind is shown as %v", got)
	}
}

// Of a database's URL people see where it leads, never how to get in.
func TestDatabaseIsShownWithoutSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://icn:hunter2@db.example:5432/icn?sslpassword=hunter2": "postgres://icn@db.example:5432/icn",
		"postgresql://db.example/icn?password=hunter2":                   "postgresql://db.example/icn",
		"postgres://icn:1/hunter2@db.example/icn":                        "postgres://***",
		"postgres://icn:a hunter2@db.example/icn":                        "postgres://***",
		"postgres://icn:1#hunter2@db.example/icn":                        "postgres://***",
		"postgres://icn:hunter2@db.example:port/icn":                     "postgres://***",
		"pebble": "pebble",
	} {
		c, err := Load(Sources{DataDir: t.TempDir(), Env: []string{"ICN_STORE_ENGINE=" + url}, Flags: map[string]any{"network.max_peers": 7}})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := c.Effective()["store"].(map[string]any)["engine"]; got != want || c.Store.Engine != url {
			t.Errorf("%s is shown as %v, want %s", url, got, want)
		}
		c.Network.MaxPeers = 0
		if text := fmt.Sprintf("%v %+v %v", c.Store, c.Store, c.Validate()); strings.Contains(text, "hunter2") {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	made, err := Init(dir, []byte("a long passphrase"), 2)
	if err != nil {
		t.Fatal(err)
	}
	id, err := identity.Open(dir, []byte("a long passphrase"))
	if err != nil || id.DID() != made.DID || id.Device() != made.Device {
		t.Errorf("%v %+v", err, made)
	}
	if _, err := Load(Sources{DataDir: dir}); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(made.Config, []byte("# mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, []byte("a long passphrase"), 2); api.KindOf(err) != api.Conflict {
		t.Errorf("a second time: %v", err)
	}
	if err := WriteFile(made.Config); api.KindOf(err) != api.Conflict {
		t.Errorf("over a file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, identity.KeystoreFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(dir, []byte("a long passphrase"), 2); err != nil {
		t.Errorf("beside a configuration: %v", err)
	}
	if b, _ := os.ReadFile(made.Config); string(b) != "# mine\n" {
		t.Errorf("the configuration became %q", b)
	}
	if _, err := Init(t.TempDir(), []byte("short"), 2); api.KindOf(err) != api.Invalid {
		t.Errorf("a short passphrase: %v", err)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"same", "same", 0}, {"ab", "ba", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// The secret of tokens comes from the environment only and is never shown.
func TestTokenSecretIsNotShown(t *testing.T) {
	const secret = "hunter2 hunter2 hunter2 hunter2 hunter2"
	c, err := Load(Sources{DataDir: t.TempDir(), Env: []string{EnvTokenSecret + "=" + secret}})
	if err != nil || string(c.TokenSecret) != secret {
		t.Fatalf("%q, %v", string(c.TokenSecret), err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %v", c, *c, c.TokenSecret, text, c.Effective())
	_, err = Load(Sources{DataDir: t.TempDir(), Env: []string{EnvTokenSecret + "=hunter2"}})
	if api.KindOf(err) != api.Invalid {
		t.Errorf("a short one: %v", err)
	}
	if strings.Contains(shown+err.Error(), "hunter2") {
		t.Errorf("shown: %s %v", shown, err)
	}
	for _, bad := range []string{"auth.audience=two words", "auth.token_ttl=2h", "auth.session_ttl=1m", "auth.issuer=https://id.example", "auth.issuer_key_file=key.pem"} {
		key, value, _ := strings.Cut(bad, "=")
		if _, err := Load(Sources{DataDir: t.TempDir(), Flags: map[string]any{key: value}}); api.KindOf(err) != api.Invalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

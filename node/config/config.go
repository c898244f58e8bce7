package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Config is what an operator may set. Each field is a key, `section.name`, of the file, of the environment (ICN_SECTION_NAME) and of `icnctl
// config show`; the doc tag is its comment in a new file. A key that would do nothing does not exist.
type Config struct {
	// DataDir holds everything the node keeps. It is no key of the file, which may lie in it.
	DataDir string `koanf:"-" json:"-"`
	// TokenSecret is what the keys of access tokens are derived from; "": a file in DataDir. It comes from the environment only.
	TokenSecret Secret `koanf:"-" json:"-"`

	Network       Network       `koanf:"network" json:"network"`
	RPC           RPC           `koanf:"rpc" json:"rpc"`
	Gateway       Gateway       `koanf:"gateway" json:"gateway"`
	Store         Store         `koanf:"store" json:"store"`
	Clock         Clock         `koanf:"clock" json:"clock"`
	Webhook       Webhook       `koanf:"webhook" json:"webhook"`
	Identity      Identity      `koanf:"identity" json:"identity"`
	Auth          Auth          `koanf:"auth" json:"auth"`
	Observability Observability `koanf:"observability" json:"observability"`
}

// Network is about other nodes.
type Network struct {
	BindAddr          string   `koanf:"bind_addr" json:"bind_addr" doc:"where other nodes reach this one, host:port over UDP; empty: no other nodes at all"`
	EnableMDNS        bool     `koanf:"enable_mdns" json:"enable_mdns" doc:"find nodes in the local network, and be found"`
	BootstrapPeers    []string `koanf:"bootstrap_peers" json:"bootstrap_peers" doc:"addresses icn://<node did>@host:port that are dialled at the start and kept"`
	MaxPeers          int      `koanf:"max_peers" json:"max_peers" doc:"connections at most, 1 to 10000"`
	MinTrustThreshold float64  `koanf:"min_trust_threshold" json:"min_trust_threshold" doc:"least trust score of a member whose node may connect, 0 to 1; 0 lets everybody in"`
}

// RPC is about programs on this machine.
type RPC struct {
	Bind string `koanf:"bind" json:"bind" doc:"the local socket, unix:PATH; empty: icnd.sock in the data directory"`
}

// Gateway is about people and programs on other machines.
type Gateway struct {
	Enable         bool     `koanf:"enable" json:"enable" doc:"serve the operations over HTTP"`
	Bind           string   `koanf:"bind" json:"bind" doc:"host:port of it, TCP; leave it on this machine behind a proxy, or give it a certificate"`
	TLSCert        string   `koanf:"tls_cert" json:"tls_cert" doc:"file with the certificate and its chain, PEM; empty: no TLS. It is read again when it changes"`
	TLSKey         string   `koanf:"tls_key" json:"tls_key" doc:"file with the certificate's key, PEM"`
	CORSOrigins    []string `koanf:"cors_origins" json:"cors_origins" doc:"origins, such as https://app.example.org, whose pages may use it; empty: no other origin's"`
	TrustedProxies []string `koanf:"trusted_proxies" json:"trusted_proxies" doc:"addresses or networks of proxies whose X-Forwarded-For is believed"`
	MaxRequests    int      `koanf:"max_requests" json:"max_requests" doc:"requests at once, 1 to 10000; more are told to come back"`
	MaxStreams     int      `koanf:"max_streams" json:"max_streams" doc:"open streams, 1 to 100000; each takes a file descriptor"`
	MaxBody        int      `koanf:"max_body" json:"max_body" doc:"bytes of a request's body, 1024 to 67108864"`
	RequestTimeout Duration `koanf:"request_timeout" json:"request_timeout" doc:"longest time of a request, 1s to 10m; a write that waits to be final needs it"`
	StrangerRate   int      `koanf:"stranger_rate" json:"stranger_rate" doc:"requests a second of one address without a token, 1 to 100000; who has logged in has the rate of their trust class"`
	StrangerBurst  int      `koanf:"stranger_burst" json:"stranger_burst" doc:"and so many at once, 1 to 100000"`
}

// Store is about what is kept on disk.
type Store struct {
	Engine    string `koanf:"engine" json:"engine" doc:"pebble; or mem, which forgets everything when the node stops; or postgres://role@host/database, where a second node with the same keystore waits to take over"`
	Blobs     int    `koanf:"blobs_mib" json:"blobs_mib" doc:"room for images and other blobs, in MiB, 1 to 1048576"`
	BlobsEach int    `koanf:"blobs_each_mib" json:"blobs_each_mib" doc:"and for those of one member, in MiB, 1 to 1048576"`
}

// isDatabase tells the URL of a database. Whether it can be used shows when it is opened: it must not stand in an error.
func isDatabase(engine string) bool {
	return strings.HasPrefix(engine, "postgres://") || strings.HasPrefix(engine, "postgresql://")
}

// shown is the engine for people: of a URL the role, the host and the database.
func (s Store) shown() string {
	if !isDatabase(s.Engine) {
		return s.Engine
	}
	u, err := url.Parse(s.Engine)
	if err != nil || strings.Contains(u.EscapedPath(), "@") || u.Fragment != "" { // a password with a slash in it looks like host and path
		return "postgres://***"
	}
	safe := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		safe.User = url.User(u.User.Username())
	}
	return safe.String()
}

// String implements fmt.Stringer, so that a configuration that is printed does not tell a password.
func (s Store) String() string { return s.shown() }

// Clock is about the time that this machine has. Nothing is valid or invalid because of it: a wrong clock is told of, in the log, the metrics
// and `icnctl doctor`.
type Clock struct {
	NTPServers  []string `koanf:"ntp_servers" json:"ntp_servers" doc:"time servers, host or host:port, 3 to 16; empty: nobody is asked"`
	NTPInterval Duration `koanf:"ntp_interval" json:"ntp_interval" doc:"how often they are asked, 1m to 24h"`
	MaxSkew     Duration `koanf:"max_skew" json:"max_skew" doc:"how far this machine may be from their median before the node warns, 1s to 1h; others hold back records dated more than 30s ahead"`
}

// Webhook is about telling events to URLs that members give.
type Webhook struct {
	AllowPrivate bool `koanf:"allow_private" json:"allow_private" doc:"post to addresses of private networks and of this machine, too; who has a login can then reach what this machine can"`
	AllowHTTP    bool `koanf:"allow_http" json:"allow_http" doc:"post without TLS, too"`
	MaxHooks     int  `koanf:"max_hooks" json:"max_hooks" doc:"hooks at most, 1 to 4000"`
	MaxOwn       int  `koanf:"max_own" json:"max_own" doc:"of one owner, 1 to 4000"`
}

// Identity is about the node's keys.
type Identity struct {
	PassphraseFile string `koanf:"passphrase_file" json:"passphrase_file" doc:"file that holds the keystore's passphrase; empty: ICN_KEYSTORE_PASSPHRASE, else the terminal is asked"`
}

// Auth is about members who log in from elsewhere.
type Auth struct {
	Audience   string   `koanf:"audience" json:"audience" doc:"whom tokens are for: the address at which members find this node, such as https://coop.example; empty: the node's DID"`
	TokenTTL   Duration `koanf:"token_ttl" json:"token_ttl" doc:"how long an access token holds, 1m to 1h"`
	SessionTTL Duration `koanf:"session_ttl" json:"session_ttl" doc:"how long a login holds that is not used, 1h to 8760h"`
	Issuer     string   `koanf:"issuer" json:"issuer" doc:"another issuer whose RS256 tokens are taken as logins of the DID in their subject; empty: none"`
	IssuerKey  string   `koanf:"issuer_key_file" json:"issuer_key_file" doc:"file with that issuer's public RSA keys, PEM, 1 to 8"`
}

// Secret is a text that prints as nothing.
type Secret string

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// minTokenSecret is the least length of a TokenSecret, in bytes.
const minTokenSecret = 32

// checkAuth says what is wrong with the section.
func (c *Config) checkAuth(bad func(key string, value any, want string)) {
	a := &c.Auth
	if len(a.Audience) > 256 || strings.ContainsFunc(a.Audience, func(r rune) bool { return r <= ' ' || r > '~' }) {
		bad("auth.audience", a.Audience, "want at most 256 letters without spaces, such as https://coop.example")
	}
	if d := time.Duration(a.TokenTTL); d < time.Minute || d > time.Hour {
		bad("auth.token_ttl", a.TokenTTL, "want 1m to 1h")
	}
	if d := time.Duration(a.SessionTTL); d < time.Hour || d > 8760*time.Hour {
		bad("auth.session_ttl", a.SessionTTL, "want 1h to 8760h")
	}
	if (a.Issuer == "") != (a.IssuerKey == "") {
		bad("auth.issuer", a.Issuer, "want it together with auth.issuer_key_file, or neither")
	}
	if n := len(c.TokenSecret); n > 0 && n < minTokenSecret {
		bad(EnvTokenSecret, c.TokenSecret, fmt.Sprintf("%d bytes: want at least %d, from a random source", n, minTokenSecret))
	}
}

// Observability is about watching the node.
type Observability struct {
	LogLevel    string `koanf:"log_level" json:"log_level" doc:"debug, info, warn or error"`
	LogFormat   string `koanf:"log_format" json:"log_format" doc:"json for machines, text for people"`
	MetricsBind string `koanf:"metrics_bind" json:"metrics_bind" doc:"IP address of the metrics and health server; it asks nobody who they are"`
	MetricsPort int    `koanf:"metrics_port" json:"metrics_port" doc:"its TCP port, 0 to 65535; 0 switches it off"`
}

// Defaults returns the configuration of a node whose operator sets nothing, but for the data directory.
func Defaults() Config {
	return Config{
		Network: Network{BindAddr: "0.0.0.0:7100", EnableMDNS: true, BootstrapPeers: []string{}, MaxPeers: 100},
		Gateway: Gateway{
			Bind: "127.0.0.1:8080", CORSOrigins: []string{}, TrustedProxies: []string{}, MaxRequests: 256, MaxStreams: 1000, MaxBody: 2 << 20,
			RequestTimeout: Duration(time.Minute), StrangerRate: 10, StrangerBurst: 40,
		},
		Store:         Store{Engine: "pebble", Blobs: 1024, BlobsEach: 32},
		Clock:         Clock{NTPServers: []string{}, NTPInterval: Duration(15 * time.Minute), MaxSkew: Duration(10 * time.Second)},
		Auth:          Auth{TokenTTL: Duration(15 * time.Minute), SessionTTL: Duration(30 * 24 * time.Hour)},
		Webhook:       Webhook{MaxHooks: 1024, MaxOwn: 16},
		Observability: Observability{LogLevel: "info", LogFormat: "json", MetricsBind: "127.0.0.1", MetricsPort: 9100},
	}
}

// maxBootstrap bounds the list of addresses that are dialled for ever.
const maxBootstrap = 256

// Validate checks every field. The error, of kind Invalid, has a line for each bad one: key, value, and what would be right.
func (c *Config) Validate() error {
	var problems []string
	bad := func(key string, value any, want string) {
		problems = append(problems, fmt.Sprintf("%s = %s: %s", key, literal(value), want))
	}
	if c.Network.BindAddr != "" && checkHostPort(c.Network.BindAddr) != nil {
		bad("network.bind_addr", c.Network.BindAddr, `want host:port with a port from 0 to 65535, such as "0.0.0.0:7100", or "" for no peers`)
	}
	if len(c.Network.BootstrapPeers) > maxBootstrap {
		bad("network.bootstrap_peers", len(c.Network.BootstrapPeers), fmt.Sprintf("want at most %d addresses", maxBootstrap))
	}
	for _, p := range c.Network.BootstrapPeers {
		if err := checkPeer(p); err != nil {
			bad("network.bootstrap_peers", p, "want icn://<node did>@host:port, as the peer's `icnctl status` shows it: "+err.Error())
		}
	}
	if m := c.Network.MinTrustThreshold; !(m >= 0 && m <= 1) {
		bad("network.min_trust_threshold", m, "want 0 to 1")
	}
	if n := c.Network.MaxPeers; n < 1 || n > 10_000 {
		bad("network.max_peers", n, "want 1 to 10000")
	}
	if path, ok := strings.CutPrefix(c.RPC.Bind, "unix:"); c.RPC.Bind != "" && (!ok || path == "") {
		bad("rpc.bind", c.RPC.Bind, "want unix:PATH; the local socket asks nobody who they are, so it is not offered on the network")
	}
	c.Gateway.validate(bad)
	if e := c.Store.Engine; e != "pebble" && e != "mem" && !isDatabase(e) {
		bad("store.engine", e, "want pebble, mem or postgres://role@host/database")
	}
	if n := c.Store.Blobs; n < 1 || n > 1<<20 {
		bad("store.blobs_mib", n, "want 1 to 1048576")
	}
	if n := c.Store.BlobsEach; n < 1 || n > 1<<20 {
		bad("store.blobs_each_mib", n, "want 1 to 1048576")
	}
	if n := len(c.Clock.NTPServers); n > 0 && (n < 3 || n > 16) {
		bad("clock.ntp_servers", c.Clock.NTPServers, "want none, or 3 to 16 so that one that is wrong does not count")
	}
	for i, s := range c.Clock.NTPServers {
		if s == "" || strings.ContainsAny(s, " /@") || slices.Contains(c.Clock.NTPServers[:i], s) {
			bad("clock.ntp_servers", s, "want host or host:port, each once")
		}
	}
	if d := time.Duration(c.Clock.NTPInterval); d < time.Minute || d > 24*time.Hour {
		bad("clock.ntp_interval", c.Clock.NTPInterval, "want 1m to 24h")
	}
	if d := time.Duration(c.Clock.MaxSkew); d < time.Second || d > time.Hour {
		bad("clock.max_skew", c.Clock.MaxSkew, "want 1s to 1h")
	}
	c.checkAuth(bad)
	if n := c.Webhook.MaxHooks; n < 1 || n > 4000 {
		bad("webhook.max_hooks", n, "want 1 to 4000")
	}
	if n := c.Webhook.MaxOwn; n < 1 || n > 4000 {
		bad("webhook.max_own", n, "want 1 to 4000")
	}
	if l := c.Observability.LogLevel; l != "debug" && l != "info" && l != "warn" && l != "error" {
		bad("observability.log_level", l, "want debug, info, warn or error")
	}
	if f := c.Observability.LogFormat; f != "json" && f != "text" {
		bad("observability.log_format", f, "want json or text")
	}
	if net.ParseIP(c.Observability.MetricsBind) == nil {
		bad("observability.metrics_bind", c.Observability.MetricsBind, "want an IP address without a port, such as 127.0.0.1")
	}
	if p := c.Observability.MetricsPort; p < 0 || p > 65535 {
		bad("observability.metrics_port", p, "want 0 to 65535")
	}
	if len(problems) > 0 {
		return api.Errorf("config", api.Invalid, "%s", strings.Join(problems, "\n"))
	}
	return nil
}

func checkHostPort(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return err
}

func checkPeer(s string) error {
	rest, ok := strings.CutPrefix(s, "icn://")
	if !ok {
		return fmt.Errorf("no icn:// at its beginning")
	}
	did, addr, ok := strings.Cut(rest, "@")
	if !ok {
		return fmt.Errorf("no @")
	}
	if _, err := record.ParseDID(did); err != nil {
		return err
	}
	return checkHostPort(addr)
}

// Effective returns every key and its value, for people and for node.config. There are no secrets among them: a passphrase is named by
// its file, and of a database's URL the password and the parameters are left out.
func (c *Config) Effective() map[string]any {
	out := map[string]any{"data_dir": c.DataDir}
	v := reflect.ValueOf(*c)
	for _, k := range keys() {
		section, ok := out[k.section].(map[string]any)
		if !ok {
			section = map[string]any{}
			out[k.section] = section
		}
		section[k.name] = v.FieldByIndex(k.index).Interface()
	}
	out["store"].(map[string]any)["engine"] = c.Store.shown()
	out["rpc"].(map[string]any)["bind"] = c.RPCAddress()
	return out
}

// RPCAddress returns the address of the local socket, unix:PATH.
func (c *Config) RPCAddress() string {
	if c.RPC.Bind != "" {
		return c.RPC.Bind
	}
	return "unix:" + filepath.Join(c.DataDir, SocketFile)
}

// key is one field of Config as the file and the environment know it.
type key struct {
	section, name string
	env           string // ICN_SECTION_NAME
	doc           string
	index         []int // of the field in Config
	typ           reflect.Type
}

func (k key) path() string { return k.section + "." + k.name }

// keys lists the fields of Config in their order.
func keys() []key {
	var out []key
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		section := t.Field(i)
		if section.Type.Kind() != reflect.Struct {
			continue
		}
		for j := range section.Type.NumField() {
			f := section.Type.Field(j)
			k := key{section: section.Tag.Get("koanf"), name: f.Tag.Get("koanf"), doc: f.Tag.Get("doc"), index: []int{i, j}, typ: f.Type}
			k.env = envPrefix + strings.ToUpper(k.section+"_"+k.name)
			out = append(out, k)
		}
	}
	return out
}

// literal writes a value as TOML does.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case Duration:
		return strconv.Quote(v.String())
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v)
}

// nearest returns the known key that somebody who wrote path most likely meant: one of the same name in another section, else the one
// that takes the fewest edits.
func nearest(path string) string {
	all := keys()
	_, name, _ := strings.Cut(path, ".")
	if i := slices.IndexFunc(all, func(k key) bool { return k.name == name }); i >= 0 {
		return all[i].path()
	}
	best, least := "", -1
	try := func(candidate string) {
		if d := distance(path, candidate); least < 0 || d < least {
			best, least = candidate, d
		}
	}
	for _, k := range all {
		try(k.path())
		if !strings.Contains(path, ".") {
			try(k.section)
		}
	}
	return best
}

// distance is the edit distance of Levenshtein, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

package main

import (
	"net"
	"os"
	"strconv"

	"github.com/spf13/pflag"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/node/config"
)

// settings are the flags.
type settings struct {
	dataDir, file, passphraseFile string
	metricsBind                   string
	text                          []textFlag
	bootstrap                     []string
	mdns, adopt, gateway          bool
}

// textFlag is a flag that is one key of the configuration.
type textFlag struct {
	flag, key string
	value     *string
}

func (s *settings) register(f *pflag.FlagSet) {
	f.StringVar(&s.dataDir, "data-dir", "", "directory of everything the node keeps (default $ICN_DATA_DIR, else ~/.local/share/icn)")
	f.StringVar(&s.file, "config", "", "configuration file (default icn.toml in the data directory, if it is there)")
	f.StringVar(&s.passphraseFile, "passphrase-file", "", "file with the keystore's passphrase (default $ICN_KEYSTORE_PASSPHRASE, else the terminal is asked)")
	f.StringVar(&s.metricsBind, "metrics-bind", "", "IP:PORT of metrics and health, or off")
	f.StringArrayVar(&s.bootstrap, "bootstrap", nil, "icn://<node did>@host:port of a peer to keep; may be repeated")
	f.BoolVar(&s.adopt, "adopt-store", false, "start on a store that does not know the device key, although the key may have been used: forks its feeds if it was")
	f.BoolVar(&s.gateway, "gateway-enable", false, "serve the operations over HTTP")
	f.BoolVar(&s.mdns, "mdns", true, "find nodes in the local network, and be found")
	for _, k := range []struct{ flag, key, usage string }{
		{"listen", "network.bind_addr", "host:port, UDP, where other nodes reach this one; empty: no other nodes"},
		{"rpc-bind", "rpc.bind", "unix:PATH of the local socket"},
		{"gateway-bind", "gateway.bind", "host:port, TCP, of the gateway"},
		{"gateway-tls-cert", "gateway.tls_cert", "file with the gateway's certificate, PEM"},
		{"gateway-tls-key", "gateway.tls_key", "file with the certificate's key, PEM"},
		{"store", "store.engine", "pebble, mem or postgres://role@host/database"},
		{"log-level", "observability.log_level", "debug, info, warn or error"},
		{"log-format", "observability.log_format", "json or text"},
	} {
		s.text = append(s.text, textFlag{k.flag, k.key, f.String(k.flag, "", k.usage)})
	}
}

// load reads the configuration with the flags that were given on top.
func (s *settings) load(f *pflag.FlagSet) (*config.Config, error) {
	flags := map[string]any{}
	for _, t := range s.text {
		if f.Changed(t.flag) {
			flags[t.key] = *t.value
		}
	}
	if f.Changed("bootstrap") {
		flags["network.bootstrap_peers"] = s.bootstrap
	}
	if f.Changed("mdns") {
		flags["network.enable_mdns"] = s.mdns
	}
	if f.Changed("gateway-enable") {
		flags["gateway.enable"] = s.gateway
	}
	if s.passphraseFile != "" {
		flags["identity.passphrase_file"] = s.passphraseFile
	}
	if s.metricsBind == "off" {
		flags["observability.metrics_port"] = 0
	} else if s.metricsBind != "" {
		host, port, err := net.SplitHostPort(s.metricsBind)
		n, perr := strconv.ParseUint(port, 10, 16)
		if err != nil || perr != nil {
			return nil, api.Errorf("config", api.Invalid, "--metrics-bind %q: want IP:PORT or off", s.metricsBind)
		}
		flags["observability.metrics_bind"], flags["observability.metrics_port"] = host, int(n)
	}
	return config.Load(config.Sources{DataDir: s.dataDir, File: s.file, Env: os.Environ(), Flags: flags})
}

func (s *settings) passphrase() identity.PassphraseSource {
	return identity.PassphraseSource{File: s.passphraseFile, LookupEnv: os.LookupEnv, In: os.Stdin, Prompt: os.Stderr}
}

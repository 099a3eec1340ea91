// access.go says who may reach the host: by which keys, at which addresses, and how a command shows a key of its own.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"

	"github.com/spf13/cobra"

	"github.com/inference-pio/inference-pio/host/internal/access"
	"github.com/inference-pio/inference-pio/host/internal/config"
)

// envKey is the key that commands show to a host.
const envKey = "PIO_KEY"

// keyring has the keys of models.toml and of the environment.
func keyring(c *config.Config) (*access.Keys, error) {
	more, err := access.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, &codeError{exitUsage, err}
	}
	return access.New(append(append([]config.Key{}, c.Keys...), more...)), nil
}

// confined is where a host listens that nobody else may reach: at that port, on loopback.
func confined(address string) (loopback string, changed bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil || isLoopback(host) {
		return address, false
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() && !ip.IsUnspecified() {
		return net.JoinHostPort("::1", port), true
	}
	return net.JoinHostPort("127.0.0.1", port), true
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// errUnlocked is of a host that would be open to everybody where it was not before.
var errUnlocked = errors.New("there are no keys any more, and this host is reachable from elsewhere; add a [[key]], or set server.open and start it anew")

// locked says whether a host at that address may answer as c says: with keys, if others can reach it.
func locked(c *config.Config, keys *access.Keys, at net.Addr) error {
	if keys.Any() || c.Server.Open {
		return nil
	}
	if tcp, ok := at.(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		return &codeError{exitUsage, errUnlocked}
	}
	return nil
}

// local is the host that models.toml describes, on this machine.
func local(c *config.Config) *remote { return localAt(c, c.Server.Listen) }

// localOrders is where it takes orders.
func localOrders(c *config.Config) *remote {
	if c.Server.AdminListen != "" {
		return localAt(c, c.Server.AdminListen)
	}
	return local(c)
}

func localAt(c *config.Config, address string) *remote {
	r := overTCP(address)
	if c.Server.TLSCert == "" {
		return r
	}
	r.base = "https" + r.base[len("http"):]
	r.client.Transport.(*showing).next.(*http.Transport).TLSClientConfig = trusting(c.Server.TLSCert)
	return r
}

// trusting believes a certificate that lies on this machine, by whatever name it is for.
func trusting(file string) *tls.Config {
	t := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	text, err := os.ReadFile(file)
	if err != nil || !t.RootCAs.AppendCertsFromPEM(text) {
		return t // the host will say what is wrong with it
	}
	if pair, err := parseChain(text); err == nil && len(pair.DNSNames) > 0 {
		t.ServerName = pair.DNSNames[0]
	}
	return t
}

// showing adds the key of the environment to what is asked.
type showing struct{ next http.RoundTripper }

func (s *showing) RoundTrip(r *http.Request) (*http.Response, error) {
	if key := os.Getenv(envKey); key != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return s.next.RoundTrip(r)
}

func newKeyCommand(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "key NAME",
		Short: "Make an API key: prints it, and the table that models.toml gets",
		Args:  takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if !config.IsKeyName(args[0]) {
				return &codeError{exitUsage, fmt.Errorf("%q is no name of a key; expected at most 64 letters, digits and ._@-", args[0])}
			}
			key := access.NewKey()
			sum := access.Hash(key)
			fmt.Fprintf(g.std.out, "%s\n", key)
			fmt.Fprintf(g.std.err, "this is the key of %s; it is shown once. models.toml gets its hash:\n\n[[key]]\nname   = %q\nsha256 = %q\n", args[0], args[0], hex.EncodeToString(sum[:]))
			return nil
		},
	}
}

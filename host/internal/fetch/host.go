package fetch

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// host is an entry of pictures.hosts: "example.com", "*.example.com" (what is below it, not itself) or "*", each with a port
// or for the ports of http and https.
type host struct {
	name string // in lower case; "" for any
	sub  bool   // any name that ends in "." and name
	port string // "" for the scheme's own
}

// parseHost reads an entry, whose spelling the configuration has checked.
func parseHost(entry string) host {
	h := host{name: strings.ToLower(entry)}
	if i := strings.LastIndexByte(entry, ':'); i > strings.LastIndexByte(entry, ']') {
		h.name, h.port = h.name[:i], entry[i+1:]
	}
	h.name = strings.Trim(h.name, "[]")
	if h.name == "*" {
		h.name = ""
	} else if below, ok := strings.CutPrefix(h.name, "*."); ok {
		h.name, h.sub = below, true
	}
	return h
}

func (h host) has(name, port, own string) bool {
	if port != h.port && (h.port != "" || port != own) {
		return false
	}
	switch {
	case h.name == "":
		return true
	case h.sub:
		return strings.HasSuffix(name, "."+h.name)
	}
	return name == h.name
}

// check says why a URL may not be asked for, before any name is looked up.
func (f *Fetcher) check(u *url.URL) error {
	own := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	port := u.Port()
	if port == "" {
		port = own
	}
	switch {
	case own == "":
		return fmt.Errorf("%s is neither http nor https", quote(u.Redacted()))
	case u.User != nil:
		return errors.New("a URL with a user's name or password in it is not fetched")
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%s has no host name in ASCII; names of other letters begin with xn--", quote(u.Redacted()))
	}
	if addr, err := netip.ParseAddr(name); err == nil && !f.allowed(addr) {
		return errNotPublic
	}
	for _, h := range f.hosts {
		if h.has(name, port, own) {
			return nil
		}
	}
	if len(f.hosts) == 0 {
		return errors.New("this host fetches no pictures from the web; send a data: URL, or have the operator list hosts in models.toml (pictures.hosts)")
	}
	return fmt.Errorf("pictures are not fetched from %s; pictures.hosts in models.toml lists the hosts that are allowed", quote(u.Host))
}

var errNotPublic = errors.New("the URL leads to an address that is not a public one")

// elsewhere are the IPv4 networks that are not of the public internet, as IANA registers them, beside those that netip tells.
var elsewhere = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),       // this network
	netip.MustParsePrefix("100.64.0.0/10"),   // carriers' NAT
	netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
	netip.MustParsePrefix("192.0.2.0/24"),    // documentation
	netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
	netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
	netip.MustParsePrefix("198.51.100.0/24"), // documentation
	netip.MustParsePrefix("203.0.113.0/24"),  // documentation
	netip.MustParsePrefix("240.0.0.0/4"),     // reserved, and broadcast
}

// The IPv6 networks that are public, and what in them is not. Everything else is: loopback, local, unique local, multicast,
// IPv4 in other clothes.
var (
	unicast6   = netip.MustParsePrefix("2000::/3")
	translated = netip.MustParsePrefix("64:ff9b::/96") // NAT64: the last four bytes are an IPv4 address
	elsewhere6 = []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // protocol assignments: Teredo, benchmarks, identifiers
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4: holds an IPv4 address
		netip.MustParsePrefix("3fff::/20"),     // documentation
	}
)

// public says whether an address is one of the internet's, and not of this machine or its networks.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	if a = a.Unmap(); a.Is4() {
		return a.IsGlobalUnicast() && !a.IsPrivate() && !within(a, elsewhere)
	}
	if translated.Contains(a) {
		b := a.As16()
		return public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return unicast6.Contains(a) && !within(a, elsewhere6)
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

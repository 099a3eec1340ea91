// clients.go reads what [server] says of clients: by which names and from which pages they may ask, and how much all of them
// together may ask for at once.
package config

import (
	"net/netip"
	"net/url"
	"strings"
)

// hosts reads server.hosts: what clients may call this host beside what it is known by anyway.
func (r *reader) hosts(t *table) []string {
	list := t.texts("hosts", `host names such as "pio.example.com"`)
	var hosts []string
	for i, name := range list {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		address, err := netip.ParseAddr(strings.Trim(name, "[]"))
		switch {
		case err == nil:
			name = address.String()
		case len(name) > 253 || !hostName.MatchString(name):
			t.problem(element("hosts", i), `%q is no host name; expected "pio.example.com", "*.example.com" or "*", without a port`, shorten(name))
		}
		hosts = append(hosts, name)
	}
	return hosts
}

// origins reads server.cors: the pages whose scripts may ask.
func (r *reader) origins(t *table) []string {
	list := t.texts("cors", `origins such as "https://example.com"`)
	var origins []string
	for i, text := range list {
		origin := strings.ToLower(text)
		if !isOrigin(origin) {
			t.problem(element("cors", i), `%q is no origin; expected "https://example.com", "http://localhost:3000" or "*", without a path`, shorten(text))
		}
		origins = append(origins, origin)
	}
	return origins
}

// isOrigin says whether a browser could send it: a scheme, a host, perhaps a port. "null" is what pages without an origin send.
func isOrigin(s string) bool {
	if s == "*" || s == "null" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && u.Host != "" && !strings.Contains(u.Host, "*") && u.Scheme+"://"+u.Host == s
}

// intake reads the bounds on what is under way at once. They do not shrink what a single request may be: a body that may be
// read at all may be read alone.
func (r *reader) intake(t *table, s *Server) {
	s.MaxBodies = t.bounded("max_bodies", defaultBodies, 1<<20, 64<<30)
	s.MaxRequests = t.countOr("max_requests", defaultAtOnce, 1, 1<<20)
	s.MaxQueue = t.countOr("max_queue", defaultQueue, 1, 1<<20)
	s.SequenceIdle = t.duration("sequence_idle", DefaultSequenceIdle)
	if s.SequenceIdle == 0 && t.values["sequence_idle"] != nil {
		t.problem("sequence_idle", `0 would close every sequence at once; expected a duration such as "5m"`)
	}
	s.MaxOpenSequences = t.countOr("max_open_sequences", DefaultOpenSequences, 1, 1<<20)
	if s.MaxBodies >= s.MaxBody {
		return
	}
	if t.values["max_bodies"] != nil {
		t.problem("max_bodies", "%s is less than max_body, %s: such a body could never be read", FormatSize(s.MaxBodies), FormatSize(s.MaxBody))
	}
	s.MaxBodies = s.MaxBody
}

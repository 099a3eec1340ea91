package config

import (
	"encoding/hex"
	"net"
	"regexp"
)

// keys.go reads who may ask, and how.

// What a key may ask for in a minute at most: more is no limit.
const (
	maxRequestsPerMinute = 1_000_000
	maxTokensPerMinute   = 1_000_000_000
)

var keyName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,63}$`)

// IsKeyName says whether a key may have that name.
func IsKeyName(name string) bool { return keyName.MatchString(name) }

// key reads a [[key]] table.
func (r *reader) key(t *table, before []Key) Key {
	k := Key{
		Name:     t.text("name", "", `a name for the log such as "alice"`),
		Admin:    t.flag("admin", false),
		Requests: t.count("requests_per_minute", 1, maxRequestsPerMinute),
		Tokens:   t.count("tokens_per_minute", 1, maxTokensPerMinute),
	}
	if k.Name == "" && t.values["name"] == nil {
		t.problem("", "name is missing; the log says by it who asked")
	} else if k.Name != "" && !keyName.MatchString(k.Name) {
		t.problem("name", "%q is no name of a key; expected at most 64 letters, digits and ._@-", shorten(k.Name))
	}
	hash := t.text("sha256", "", "the hash that `piohost config key` prints")
	switch sum, err := hex.DecodeString(hash); {
	case hash == "" && t.values["sha256"] == nil:
		t.problem("", "sha256 is missing; `piohost config key` makes a key and prints its hash")
	case hash == "":
	case err != nil || len(sum) != len(k.SHA256):
		t.problem("sha256", "is no SHA-256 in 64 hexadecimal digits; a key itself does not belong here, only its hash, as `piohost config key` prints it")
	default:
		k.SHA256 = [32]byte(sum)
	}
	for _, b := range before {
		switch {
		case b.Name == k.Name && k.Name != "":
			t.problem("name", "%q is the name of another key", k.Name)
		case b.SHA256 == k.SHA256 && k.SHA256 != [32]byte{}:
			t.problem("sha256", "is that of the key %q too", b.Name)
		}
	}
	t.finish()
	return k
}

// access reads what [server] says of who reaches it, and how.
func (r *reader) access(t *table, s *Server) {
	s.Open = t.flag("open", false)
	if listen := t.text("admin_listen", "", `host:port such as "127.0.0.1:9090"`); listen != "" {
		address, err := ParseListen(listen)
		if err != nil {
			t.problem("admin_listen", "%v", err)
		}
		if sameDoor(s.Listen, address) {
			t.problem("admin_listen", "%s is where the API listens too; give it another port, or leave it out", address)
		}
		s.AdminListen = address
	}
	s.TLSCert, s.TLSKey = r.pem(t, "tls_cert"), r.pem(t, "tls_key")
	if (s.TLSCert == "") != (s.TLSKey == "") {
		t.problem("", "tls_cert and tls_key go together; give both or none")
	}
}

// sameDoor says that two addresses cannot both be listened on.
func sameDoor(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	every := func(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }
	return errA == nil && errB == nil && portA == portB && portA != "0" && (hostA == hostB || every(hostA) || every(hostB))
}

// pem reads the path of a file; what is in it is read when it is served.
func (r *reader) pem(t *table, key string) string {
	path := t.text(key, "", "a file in PEM")
	if path == "" {
		return ""
	}
	return r.absolute(path)
}

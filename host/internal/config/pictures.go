package config

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	defaultPicture = 20 << 20 // the largest that cameras make
	maxPicture     = 56 << 20 // what fits in one message to a plugin, beside the words
	defaultFetch   = 10 * time.Second
)

// pictures reads [pictures].
func (r *reader) pictures(t *table) Pictures {
	p := Pictures{
		MaxBytes: t.bounded("max_bytes", defaultPicture, 1<<10, maxPicture),
		Timeout:  t.duration("timeout", defaultFetch),
	}
	if p.Timeout == 0 {
		t.problem("timeout", `"0s" leaves no time to fetch a picture; expected a duration such as "10s"`)
	}
	dirs := t.texts("dirs", `folders of pictures such as "/data/pictures"`)
	p.Dirs = r.folders(t, "dirs", dirs, "name the folder that clients may read pictures from", "a folder of pictures")
	hosts := t.texts("hosts", `host names such as "example.com"`)
	for i, name := range hosts {
		name = strings.ToLower(name)
		if complaint := hostPattern(name); complaint != "" {
			t.problem(element("hosts", i), "%q %s", shorten(name), complaint)
		}
		p.Hosts = append(p.Hosts, name)
	}
	t.finish()
	return p
}

var hostName = regexp.MustCompile(`^(\*|(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*)$`)

// hostPattern says what is wrong with an entry of pictures.hosts, or "".
func hostPattern(entry string) string {
	const expected = `expected "example.com", "*.example.com" or "*", perhaps with a port such as ":8443"`
	name := entry
	if i := strings.LastIndexByte(entry, ':'); i >= 0 && i > strings.LastIndexByte(entry, ']') {
		if _, err := netip.ParseAddr(entry); err == nil {
			return "is an IPv6 address without brackets; expected \"[" + entry + "]\""
		}
		name = entry[:i]
		if n, err := strconv.ParseUint(entry[i+1:], 10, 16); err != nil || n == 0 || entry[i+1] == '0' {
			return "is no host name; " + expected
		}
	}
	if bare, ok := strings.CutPrefix(name, "["); ok {
		if a, err := netip.ParseAddr(strings.TrimSuffix(bare, "]")); err == nil && a.Is6() && strings.HasSuffix(bare, "]") && a.Zone() == "" {
			return ""
		}
		return "is no host name; " + expected
	}
	if len(name) > 253 || !hostName.MatchString(name) {
		return "is no host name; " + expected
	}
	return ""
}

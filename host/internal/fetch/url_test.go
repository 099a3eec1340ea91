package fetch

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

func TestDataURLs(t *testing.T) {
	f := New(config.Pictures{MaxBytes: 1000})
	file := "\x89PNG\r\n\x1a\n\x00\xff?" // its base64 has + and /
	std := base64.StdEncoding.EncodeToString([]byte(file))
	for _, u := range []string{
		"data:image/png;base64," + std,
		"DATA:Image/PNG;BASE64," + std,
		"data:;base64," + std,
		"data:image/png;name=a.png;base64," + std,
		"data:;charset=utf-8;base64," + std,
		"data:image/jpeg;base64," + std, // what it is, its bytes say
		"data:image/png;base64," + strings.TrimRight(std, "="),
		"data:image/png;base64," + std[:4] + "\r\n" + std[4:] + "\n",
	} {
		got, err := f.Fetch(t.Context(), u)
		if err != nil || string(got) != file {
			t.Errorf("%s: %q, %v", u, got, err)
		}
	}
	for u, want := range map[string]string{
		"data:":                                         "has no comma",
		"data:image/png;base64":                         "has no comma",
		"data:image/png," + std:                         "is not in base64",
		"data:image/png;base32," + std:                  "is not in base64",
		"data:base64," + std:                            "is not in base64",
		"data:text/html;base64," + std:                  `is of the type "text/html", which is no picture's`,
		"data:image;base64," + std:                      `is of the type "image"`,
		"data:application/pdf;base64," + std:            `is of the type "application/pdf"`,
		"data:image/png;base64,":                        "holds no bytes",
		"data:image/png;base64,====":                    "holds no bytes",
		"data:image/png;base64,AA=A":                    "not valid base64 at letter 2",
		"data:image/png;base64,iVBOR_0KGgo":             "not valid base64 at letter 5",
		"data:image/png;base64,A":                       "not valid base64",
		"data:image/png;base64,%41AAA":                  "not valid base64 at letter 0",
		"data:image/png;base64, " + std:                 "not valid base64 at letter 0",
		"data:;base64," + strings.Repeat("A", 1340):     "larger than 1000 bytes",
		"data:;base64," + strings.Repeat("A", 1<<20):    "larger than 1000 bytes",
		"data:;base64," + strings.Repeat("AAAA\n", 334): "larger than 1000 bytes",
	} {
		got, err := f.Fetch(t.Context(), u)
		if err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%.60s: %q, %v; want %s", u, got, err, want)
		}
	}
	if got, err := f.Fetch(t.Context(), "data:;base64,"+base64.StdEncoding.EncodeToString(make([]byte, 1000))); err != nil || len(got) != 1000 {
		t.Errorf("just as large as allowed: %d bytes, %v", len(got), err)
	}
}

// No file of ours, no host on the list: what every spelling of a URL that should not be followed is answered.
func TestURLsThatAreNotFollowed(t *testing.T) {
	f := New(config.Pictures{Hosts: []string{"example.com", "*.example.org", "files.test:8443", "127.0.0.1", "[::1]"}})
	for u, want := range map[string]string{
		"":                               "cannot be fetched",
		"iVBORw0KGgo=":                   "cannot be fetched",
		"picture.png":                    "cannot be fetched",
		"../picture.png":                 "cannot be fetched",
		"ftp://example.com/a.png":        "cannot be fetched",
		"gopher://example.com/a.png":     "cannot be fetched",
		"javascript:alert(1)":            "cannot be fetched",
		"//example.com/a.png":            "not in a folder",
		"http://exa mple.com/":           "is no URL",
		"http://%zz/":                    "is no URL",
		"http:///a.png":                  "has no host name",
		"http:a.png":                     "has no host name",
		"http://:80/a.png":               "has no host name",
		"http://ex\u00e4mple.com/a.png":  "names of other letters begin with xn--",
		"http://me:secret@example.com/":  "a user's name or password",
		"http://me@example.com/":         "a user's name or password",
		"http://example.com@evil.test/":  "a user's name or password",
		"http://evil.test/?example.com":  `not fetched from "evil.test"`,
		"http://evil.test#@example.com/": `not fetched from "evil.test"`,
		"http://example.com.evil.test/":  "not fetched from",
		"http://notexample.com/":         "not fetched from",
		"http://example.org/":            "not fetched from", // only what is below it
		"http://badexample.org/":         "not fetched from",
		"http://example.com:22/":         "not fetched from",
		"http://example.com:443/":        "not fetched from", // http speaks on 80
		"https://files.test/":            "not fetched from",
		"http://2130706433/":             "not fetched from",
		"http://0x7f.1/":                 "not fetched from",
		"http://0177.0.0.1/":             "not fetched from",
		"http://localhost/":              "not fetched from",
		"http://127.0.0.1/":              "not a public one", // although it is on the list
		"http://127.0.0.1./":             "not a public one",
		"http://[::1]/":                  "not a public one",
		"http://[::ffff:127.0.0.1]/":     "not a public one",
		"http://[fe80::1%25eth0]/":       "not a public one",
		"http://169.254.169.254/latest":  "not a public one",
		"http://8.8.8.8/":                "not fetched from",
		"http://example.com/" + strings.Repeat("a", maxURL): "is too long",
	} {
		got, err := f.Fetch(t.Context(), u)
		if err == nil || !strings.Contains(err.Error(), want) || got != nil {
			t.Errorf("%.60s: %v; want %s", u, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for _, u := range []string{
		"http://example.com", "HTTPS://EXAMPLE.com./a?b#c", "http://example.com:80/", "https://example.com:443/", "http://a.example.org/", "https://a.b.example.org/", "https://files.test:8443/x",
	} {
		parsed, err := url.Parse(u)
		if err == nil {
			err = f.check(parsed)
		}
		if err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

func TestTheWholeWebButNothingElse(t *testing.T) {
	f := New(config.Pictures{Hosts: []string{"*"}})
	for u, ok := range map[string]bool{
		"https://anything.test/": true, "http://8.8.8.8/": true, "http://[2606:4700::1111]/": true,
		"http://anything.test:8080/": false, "http://10.0.0.1/": false, "http://[::ffff:a00:1]/": false,
	} {
		parsed, err := url.Parse(u)
		if err == nil {
			err = f.check(parsed)
		}
		if (err == nil) != ok {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// Whatever the URL: a picture within the limits or a sentence. Nothing is allowed but data:, so that no name is looked up.
func FuzzFetch(f *testing.F) {
	for _, seed := range []string{
		"data:image/png;base64,iVBORw0KGgo=", "data:;base64,AA==", "data:,", "DATA:a/b;x=\";\";base64,AAAA", "http://a@[::1%25x]:1/", "file:///etc/passwd", "file:a", "/etc/../etc/passwd", "//a/b", "https://\x00/", "x:y:z",
	} {
		f.Add(seed)
	}
	fetcher := New(config.Pictures{MaxBytes: 64})
	f.Fuzz(func(t *testing.T, u string) {
		got, err := fetcher.Fetch(t.Context(), u)
		switch isData := len(u) >= 5 && strings.EqualFold(u[:5], "data:"); {
		case err != nil && (got != nil || err.Error() == "" || len(err.Error()) > 2000):
			t.Errorf("%q: %q, %v", u, got, err)
		case err == nil && (!isData || len(got) == 0 || len(got) > 64):
			t.Errorf("%q gives %d bytes", u, len(got))
		}
	})
}

// A URL that passes the check names a host that is on the list, as another reading of the same URL finds it.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{"http://example.com/", "https://a.example.org:443/", "http://example.com@evil.test/", "http://evil.test\\@example.com/", "http://example.com%2eevil.test/", "http://[::1]/"} {
		f.Add(seed)
	}
	fetcher := New(config.Pictures{Hosts: []string{"example.com", "*.example.org"}})
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || fetcher.check(u) != nil {
			return
		}
		_, rest, _ := strings.Cut(s, "//")
		authority := strings.ToLower(rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:~!$&'()*+,;=%\"<>[]"))])
		name, _, _ := strings.Cut(authority, ":")
		name = strings.TrimSuffix(name, ".")
		if unescaped, err := url.PathUnescape(name); err == nil {
			name = unescaped
		}
		if name != "example.com" && !strings.HasSuffix(name, ".example.org") {
			t.Errorf("%q passes; its host is %q", s, name)
		}
	})
}

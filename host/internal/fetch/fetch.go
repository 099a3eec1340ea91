// Package fetch gets the files of pictures that a request names: out of data: URLs, and from the web and from folders as far
// as models.toml allows it, which by default it does not.
//
// A URL comes from a stranger and is followed from inside the operator's network. So a name must be on a list, the address it
// leads to must be a public one at the moment of the connection, a redirect is a new URL, a file must lie in an allowed folder
// after every symbolic link, and sizes and times are bounded. Nothing is decoded here: a file that is no picture, or a broken
// one, is for the plugin to refuse. What is not even like a picture is never handed on from the web or a folder.
//
// Errors are sentences for the client. They name what the client wrote, and nothing of the network or the disk behind it.
package fetch

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

const (
	defaultBytes = 20 << 20 // the largest pictures of cameras
	defaultTime  = 10 * time.Second
	maxURL       = 8 << 10 // of http and file URLs; what servers take
	maxDownloads = 16      // at the same time, of all requests
)

// Fetcher may be used from any goroutine.
type Fetcher struct {
	rules   config.Pictures
	hosts   []host
	client  *http.Client
	slots   chan struct{} // one for each download
	allowed func(netip.Addr) bool
	dialer  net.Dialer
}

// New makes a Fetcher of checked rules; the zero value allows data: URLs alone.
func New(rules config.Pictures) *Fetcher {
	if rules.MaxBytes == 0 {
		rules.MaxBytes = defaultBytes
	}
	if rules.Timeout == 0 {
		rules.Timeout = defaultTime
	}
	f := &Fetcher{rules: rules, slots: make(chan struct{}, maxDownloads), allowed: public}
	for _, name := range rules.Hosts {
		f.hosts = append(f.hosts, parseHost(name))
	}
	f.client = f.newClient()
	return f
}

// MaxBytes is the size of the largest picture.
func (f *Fetcher) MaxBytes() int64 { return f.rules.MaxBytes }

// Fetch returns the file that a URL or an absolute path names. When ctx ends, its error is returned.
func (f *Fetcher) Fetch(ctx context.Context, from string) ([]byte, error) {
	if scheme, rest, ok := strings.Cut(from, ":"); ok && strings.EqualFold(scheme, "data") {
		return f.data(rest)
	}
	if len(from) > maxURL {
		return nil, fmt.Errorf("a URL of %d bytes is too long; expected at most %d, or a data: URL", len(from), maxURL)
	}
	if strings.HasPrefix(from, "/") {
		return f.file(from, from)
	}
	u, err := url.Parse(from)
	if err != nil {
		return nil, fmt.Errorf("%s is no URL", quote(from))
	}
	switch strings.ToLower(u.Scheme) {
	case "http", "https":
		return f.web(ctx, u)
	case "file":
		if u.Opaque != "" || u.Host != "" && u.Host != "localhost" || !strings.HasPrefix(u.Path, "/") {
			return nil, fmt.Errorf("%s names no file of this machine; expected file:///folder/picture.png", quote(from))
		}
		return f.file(u.Path, from)
	}
	return nil, fmt.Errorf("%s cannot be fetched; expected data:image/png;base64,..., or an http, https or file URL that this host allows", quote(from))
}

// tooLarge says so of a picture.
func (f *Fetcher) tooLarge() error {
	return fmt.Errorf("the picture is larger than %s, the most this host takes of one", config.FormatSize(f.rules.MaxBytes))
}

// looks returns an error unless the first bytes of a file are those of a picture, by what browsers know them.
func looks(file []byte) error {
	if strings.HasPrefix(http.DetectContentType(file), "image/") {
		return nil
	}
	return errors.New("what is there is no picture; expected PNG, JPEG, WebP, GIF or BMP")
}

// pictureType says whether a media type may be a picture's: it is one, or says nothing.
func pictureType(header string) bool {
	t, _, err := mime.ParseMediaType(header)
	return header == "" || err == nil && (strings.HasPrefix(t, "image/") || t == "application/octet-stream" || t == "binary/octet-stream")
}

// quote shows what a client wrote.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return fmt.Sprintf("%q", s)
}

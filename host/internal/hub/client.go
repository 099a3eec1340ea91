// client.go asks the hub: with the token where it belongs, again where that may help, and with errors that say what to do.
package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/inference-pio/inference-pio/sdk"
)

const maxRedirects = 10

// Client fetches from one endpoint.
type Client struct {
	endpoint string
	token    string
	cache    string
	http     *http.Client
	pauses   pauses
	piece    int64 // the most that one request asks for
	// Jobs is how many files are fetched at once; 0: 4.
	Jobs int
	// Told hears of waits, in words; nil: nobody does.
	Told func(string)
}

// pauses between attempts; tests have shorter ones.
type pauses struct {
	tries          int           // in a row that bring nothing
	first, longest time.Duration // before the next attempt, each twice the one before
	silence        time.Duration // of a connection, after which it is given up
	asked          time.Duration // the longest that a server may ask for
}

// defaultPiece: signed URLs run out, and servers between refuse answers of more than 50 GB.
const defaultPiece = 8 << 30

var patient = pauses{tries: 6, first: time.Second, longest: 16 * time.Second, silence: 30 * time.Second, asked: 10 * time.Minute}

// New is a client of the endpoint that r names, or else of h's. The token is for h's endpoint.
func New(h Home, r Reference) *Client {
	c := &Client{endpoint: h.Endpoint, token: h.Token, cache: h.Cache, pauses: patient, piece: defaultPiece}
	if r.Endpoint != "" && r.Endpoint != h.Endpoint {
		c.endpoint = r.Endpoint
		if !isHub(r.Endpoint) { // a stranger's server
			c.token = ""
		}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() // with the proxy of the environment
	transport.ResponseHeaderTimeout = patient.silence
	transport.DisableCompression = true // sizes and hashes are those of the files
	transport.MaxResponseHeaderBytes = 256 << 10
	transport.MaxIdleConnsPerHost = 16
	c.http = &http.Client{Transport: transport, CheckRedirect: c.redirect}
	return c
}

func isHub(endpoint string) bool {
	return endpoint == DefaultEndpoint || endpoint == "https://www.huggingface.co"
}

// origin is what a token is for.
func origin(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// redirect lets a request go on elsewhere, without the token.
func (c *Client) redirect(req *http.Request, via []*http.Request) error {
	last := via[len(via)-1].URL
	switch {
	case len(via) > maxRedirects:
		return final(fmt.Errorf("%s is redirected more than %d times", via[0].URL.Host, maxRedirects))
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return final(fmt.Errorf("%s redirects from https to %s", last.Host, req.URL.Scheme))
	}
	req.Header.Del("Referer")
	for _, r := range append(via, req) {
		if origin(r.URL) != origin(via[0].URL) {
			req.Header.Del("Authorization")
		}
	}
	return nil
}

// finalError is one that no repetition changes.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

func final(err error) error { return finalError{err} }

func isFinal(err error) bool {
	var f finalError
	return errors.As(err, &f)
}

// busyError says that the server wants to be left alone for a while.
type busyError struct {
	error
	after time.Duration // 0: it does not say for how long
}

// get asks once. Whoever gets an answer closes its body.
func (c *Client) get(ctx context.Context, address string, r Reference, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, final(err)
	}
	for key, values := range header {
		req.Header[key] = values
	}
	req.Header.Set("User-Agent", "inference-pio/"+sdk.Version)
	req.Header.Set("Accept-Encoding", "identity")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent || resp.StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.refusal(resp, r)
}

// unreachable is why there is no answer, without the URL, which may be a signed one.
func (c *Client) unreachable(err error) error {
	var of *url.Error
	host := c.endpoint
	if errors.As(err, &of) {
		if u, parsed := url.Parse(of.URL); parsed == nil {
			host = u.Host
		}
		err = of.Err
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		err = errors.New("nobody listens there")
	}
	return fmt.Errorf("no answer from %s: %w", host, err)
}

// getJSON asks until there is an answer, and reads it.
func (c *Client) getJSON(ctx context.Context, address string, r Reference, into any) (h http.Header, err error) {
	err = c.persist(ctx, func() (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*c.pauses.silence)
		defer cancel()
		resp, err := c.get(ctx, address, r, nil)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxPage+1))
		switch {
		case err != nil:
			return false, fmt.Errorf("the answer of %s breaks off: %w", resp.Request.URL.Host, err)
		case len(text) > maxPage:
			return false, final(fmt.Errorf("%s answers with more than %s", resp.Request.URL.Host, sized(maxPage)))
		}
		h = resp.Header
		if err := json.Unmarshal(text, into); err != nil {
			return false, final(fmt.Errorf("%s does not answer as a hub does: %w", resp.Request.URL.Host, err))
		}
		return false, nil
	})
	return h, err
}

// persist tries until it works, until no repetition helps, or too often. try says whether it brought something, after which
// the count begins anew.
func (c *Client) persist(ctx context.Context, try func() (brought bool, err error)) error {
	for failed := 0; ; {
		brought, err := try()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case isFinal(err):
			return err
		}
		if brought {
			failed = 0
		}
		if failed++; failed >= c.pauses.tries {
			return fmt.Errorf("%w (%d times in a row)", err, failed)
		}
		pause := min(c.pauses.first<<(failed-1), c.pauses.longest)
		var busy busyError
		if errors.As(err, &busy) && busy.after > 0 {
			if busy.after > c.pauses.asked {
				return fmt.Errorf("%w; it asks to be left alone for %v", err, busy.after)
			}
			pause = busy.after
		}
		c.tell(fmt.Sprintf("%v; the next attempt is in %v", err, pause))
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (c *Client) tell(text string) {
	if c.Told != nil {
		c.Told(text)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refusal makes an error of an answer that is none. The hub says in headers what it means by its status.
func (c *Client) refusal(resp *http.Response, r Reference) error {
	host := resp.Request.URL.Host
	said := said(resp)
	switch code := resp.Header.Get("X-Error-Code"); {
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode >= 500:
		return busyError{fmt.Errorf("%s answers %s%s", host, resp.Status, said), retryAfter(resp.Header)}
	case code == "GatedRepo":
		return final(fmt.Errorf("%s is open to those alone who have accepted its terms: accept them at %s/%s%s", r.Repo, c.endpoint, r.Repo, c.tokenAdvice()))
	case code == "RevisionNotFound":
		return final(fmt.Errorf("%s has no revision %q", r.Repo, r.Revision))
	case code == "EntryNotFound":
		return final(fmt.Errorf("%s has no such file any more; pull again", r.Repo))
	case code == "RepoNotFound", resp.StatusCode == http.StatusNotFound && resp.Request.URL.Host == hostOf(c.endpoint):
		return final(fmt.Errorf("there is no repository %s at %s, or it is private%s", r.Repo, c.endpoint, c.tokenAdvice()))
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden && host == hostOf(c.endpoint):
		return final(fmt.Errorf("%s answers %s%s%s", host, resp.Status, said, c.tokenAdvice()))
	case resp.StatusCode == http.StatusForbidden: // a signed URL that has run out: the next one is another
		return fmt.Errorf("%s answers %s%s", host, resp.Status, said)
	}
	return final(fmt.Errorf("%s answers %s%s", host, resp.Status, said))
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}

func (c *Client) tokenAdvice() string {
	if c.token == "" {
		return "; set HF_TOKEN to a token that may read it, or log in with `hf auth login`"
	}
	return "; the token that is set may not read it"
}

// said is what a server gives as its reason, shortened.
func said(resp *http.Response) string {
	text := resp.Header.Get("X-Error-Message")
	if text == "" {
		var body struct{ Error any }
		_ = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&body) // what is no JSON says nothing
		text, _ = body.Error.(string)
	}
	if text == "" {
		return ""
	}
	return fmt.Sprintf(": %.300s", text)
}

var rateLimit = regexp.MustCompile(`;\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d+)`)

// retryAfter is how long a server wants to be left alone: in seconds, until a date, or as the hub counts requests.
func retryAfter(h http.Header) time.Duration {
	if m := rateLimit.FindStringSubmatch(h.Get("RateLimit")); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil && n < 1<<20 {
			return time.Duration(n+1) * time.Second
		}
	}
	text := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < 1<<20 {
		return time.Duration(max(n, 1)) * time.Second
	}
	if t, err := http.ParseTime(text); err == nil {
		return max(time.Second, time.Until(t))
	}
	return 0
}

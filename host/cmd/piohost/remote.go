// remote.go is a client of a host's API, over TCP or a private unix socket.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How long a host may take to say which models it has: one at the configured address is on this machine, or there is none.
const (
	probeTime = 2 * time.Second
	farTime   = 15 * time.Second
)

// remote is a host to talk to.
type remote struct {
	client *http.Client
	base   string // "http://127.0.0.1:8080"
	named  string // how the user has named it, in a sentence
	limit  time.Duration
}

func overTCP(address string) *remote {
	named := address
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("localhost", port) // listens everywhere, so also here
	}
	return &remote{&http.Client{Transport: &showing{&http.Transport{}}}, "http://" + address, named, probeTime} // no proxy: it is on this machine
}

// overURL is a host elsewhere: "https://pio.example.com", perhaps with a path where a proxy has it, or "example.com:8080".
func overURL(text, source string) (*remote, error) {
	full := text
	if !strings.Contains(text, "://") {
		full = "http://" + text
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s %q is no address of a host; expected one such as https://example.com or example.com:8080", source, text)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("%s %q: %s is not spoken; expected http or https", source, text, u.Scheme)
	case u.Port() == "" && full != text: // the port of piohost, where no scheme has one of its own
		u.Host = net.JoinHostPort(u.Hostname(), "8080")
	}
	base := strings.TrimSuffix(strings.TrimRight(u.String(), "/"), "/v1") // as clients of OpenAI's are given it
	transport := http.DefaultTransport.(*http.Transport).Clone()          // with the proxy of the environment
	return &remote{&http.Client{Transport: &showing{transport}}, base, u.Redacted() + " (" + source + ")", farTime}, nil
}

func overUnix(socket string) *remote {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &remote{&http.Client{Transport: &http.Transport{DialContext: dial}}, "http://piohost", "the host of this command", probeTime}
}

// listedModel is an entry of /v1/models.
type listedModel struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases"`
	State   string   `json:"state"`
	Reason  string   `json:"reason"`
	Context int      `json:"max_model_len"`
	Cores   int      `json:"cores"`
	OwnedBy string   `json:"owned_by"`

	RetryAt  string `json:"retry_at"`
	WaitsFor string `json:"waits_for"`
}

// models lists what the host serves. That none answers is an error, as is any other server that happens to listen there.
func (r *remote) models(ctx context.Context) ([]listedModel, error) {
	ctx, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/v1/models", nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no host answers at %s: %w", r.named, unreachable(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers, but not as piohost does: %w", r.named, refusal(resp))
	}
	var list struct{ Data []listedModel }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&list); err != nil {
		return nil, fmt.Errorf("%s answers, but not as piohost does", r.named)
	}
	return slices.DeleteFunc(list.Data, func(m listedModel) bool { return m.OwnedBy != "inference-pio" }), nil
}

// unreachable is why there is no answer, without the request that it was to.
func unreachable(err error) error {
	var request *url.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("it says nothing")
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nobody listens there; is `piohost serve` running?")
	case errors.As(err, &request):
		return request.Err
	}
	return err
}

// refusal is what a host says in place of an answer.
func refusal(resp *http.Response) error {
	var failed struct{ Error *apiError }
	if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&failed) != nil || failed.Error == nil {
		return fmt.Errorf("the host answers %s", resp.Status)
	}
	return failed.Error
}

// has says whether the host serves the model. Without a host it does not.
func (r *remote) has(ctx context.Context, model string) bool {
	list, _ := r.models(ctx)
	return listed(list, model)
}

func listed(list []listedModel, model string) bool {
	return slices.ContainsFunc(list, func(m listedModel) bool { return m.ID == model || slices.Contains(m.Aliases, model) })
}

// apiError is the error object of the API.
type apiError struct {
	Message string
	Code    string
}

func (e *apiError) Error() string { return e.Message }

// chunk is what chat needs of one event of a stream.
type chunk struct {
	Error   *apiError
	Usage   *tokenCount
	Choices []struct {
		Delta struct {
			Content   string
			Reasoning string `json:"reasoning_content"`
		}
		Finish string `json:"finish_reason"`
	}
}

// chat streams an answer and returns why it ended, and its tokens if the host came to count them: say gets its pieces and the
// reasoning's, in order.
func (r *remote) chat(ctx context.Context, request map[string]any, say func(text, reasoning string)) (finish string, tokens *tokenCount, err error) {
	body, err := r.post(ctx, "/v1/chat/completions", request)
	if err != nil {
		return "", nil, err
	}
	defer body.Close()
	return readStream(body, say)
}

// post asks, and returns the answer's body.
func (r *remote) post(ctx context.Context, path string, request map[string]any) (io.ReadCloser, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s does not answer: %w", r.named, unreachable(err))
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, refusal(resp)
	}
	return resp.Body, nil
}

func readStream(body io.Reader, say func(text, reasoning string)) (finish string, tokens *tokenCount, err error) {
	err = events(body, func(data []byte) error {
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			return fmt.Errorf("the host sent what is not JSON: %w", err)
		}
		if c.Error != nil {
			return c.Error
		}
		for _, choice := range c.Choices {
			say(choice.Delta.Content, choice.Delta.Reasoning)
			finish = cmp.Or(choice.Finish, finish)
		}
		tokens = cmp.Or(c.Usage, tokens)
		return nil
	})
	if err != nil {
		return "", nil, err
	}
	return finish, tokens, nil
}

// events gives the data of each event of a stream to each, up to the one that ends it.
func events(body io.Reader, each func(data []byte) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		switch {
		case !ok: // an empty line or a comment
			continue
		case string(data) == "[DONE]":
			return nil
		}
		if err := each(data); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the connection to the host broke: %w", err)
	}
	return errors.New("the answer ended before it was complete")
}

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
	"slices"
	"strings"
	"time"
)

// probeTime is how long a host at the configured address may take to say which models it has. It is on this machine, or
// there is none.
const probeTime = 2 * time.Second

// remote is a host to talk to.
type remote struct {
	client *http.Client
	base   string // "http://127.0.0.1:8080"
}

func overTCP(address string) *remote {
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("localhost", port) // listens everywhere, so also here
	}
	return &remote{&http.Client{Transport: &http.Transport{}}, "http://" + address} // no proxy: it is on this machine
}

func overUnix(socket string) *remote {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	return &remote{&http.Client{Transport: &http.Transport{DialContext: dial}}, "http://piohost"}
}

// listedModel is an entry of /v1/models.
type listedModel struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases"`
	State   string   `json:"state"`
	Reason  string   `json:"reason"`
	Context int      `json:"max_model_len"`
	OwnedBy string   `json:"owned_by"`
}

// models lists what the host serves. That none answers is an error, as is any other server that happens to listen there.
func (r *remote) models(ctx context.Context) ([]listedModel, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/v1/models", nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no host answers at %s", strings.TrimPrefix(r.base, "http://"))
	}
	defer resp.Body.Close()
	var list struct{ Data []listedModel }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&list); err != nil || resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers, but not as piohost does", r.base)
	}
	return slices.DeleteFunc(list.Data, func(m listedModel) bool { return m.OwnedBy != "inference-pio" }), nil
}

// has says whether the host serves the model. Without a host it does not.
func (r *remote) has(ctx context.Context, model string) bool {
	list, _ := r.models(ctx)
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
	Choices []struct {
		Delta struct {
			Content   string
			Reasoning string `json:"reasoning_content"`
		}
		Finish string `json:"finish_reason"`
	}
}

// chat streams an answer and returns why it ended: say gets its pieces and the reasoning's, in order.
func (r *remote) chat(ctx context.Context, request map[string]any, say func(text, reasoning string)) (finish string, err error) {
	body, err := json.Marshal(request)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var failed struct{ Error *apiError }
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&failed) != nil || failed.Error == nil {
			return "", fmt.Errorf("the host answers %s", resp.Status)
		}
		return "", failed.Error
	}
	return readStream(resp.Body, say)
}

func readStream(body io.Reader, say func(text, reasoning string)) (finish string, err error) {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok: // an empty line or a comment
			continue
		case data == "[DONE]":
			return finish, nil
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			return "", fmt.Errorf("the host sent what is not JSON: %w", err)
		}
		if c.Error != nil {
			return "", c.Error
		}
		for _, choice := range c.Choices {
			say(choice.Delta.Content, choice.Delta.Reasoning)
			finish = cmp.Or(choice.Finish, finish)
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("the connection to the host broke: %w", err)
	}
	return "", errors.New("the answer ended before it was complete")
}

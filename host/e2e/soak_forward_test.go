package e2e

// soak_forward_test.go is the client of the soak that appends ids to a sequence, and asks the logits of what it has, call by call.

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

const sequences, embeddings = "/v1/sequences", "/v1/embeddings"

// forward appends a prompt and the likeliest ids behind it, forks in the middle, and goes on with both. A sequence whose model's entry
// was changed ends with the process there was: then the reply is nil.
func (k *soak) forward(ctx context.Context, q question) (*reply, error) {
	r := newReply()
	model := q.body["model"].(string)
	first, err := k.opened(ctx, sequences, object{"model": model})
	if err == nil {
		err = k.walk(ctx, r, first)
	}
	var told *refusal
	if errors.As(err, &told) && (told.status == http.StatusNotFound || strings.Contains(told.said, "model_draining")) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.reloaded[model] {
			return nil, nil
		}
	}
	if err != nil {
		return nil, err
	}
	k.heard(len(r.Numbers))
	return r, nil
}

func (k *soak) opened(ctx context.Context, path string, body object) (id string, err error) {
	var out struct{ ID string }
	err = k.call(ctx, http.MethodPost, path, body, &out)
	return sequences + "/" + out.ID, err
}

// walk takes every row's logits into r.
func (k *soak) walk(ctx context.Context, r *reply, sequence string) error {
	prompt := make([]int, 70)
	for i := range prompt {
		prompt[i] = 100 + i*7%300
	}
	if _, err := k.append(ctx, r, sequence, object{"tokens": prompt, "rows": []int{0, 65, 69}}); err != nil {
		return err
	}
	next := 200
	for range 8 {
		likeliest, err := k.append(ctx, r, sequence, object{"tokens": []int{next}, "top": 3})
		if err != nil {
			return err
		}
		next = likeliest
	}
	fork, err := k.opened(ctx, sequence+"/fork", object{})
	if err != nil {
		return err
	}
	for i := range 4 {
		for j, s := range []string{sequence, fork} {
			if _, err := k.append(ctx, r, s, object{"tokens": []int{300 + 10*i + j}}); err != nil {
				return err
			}
		}
	}
	for _, s := range []string{fork, sequence} {
		if err := k.call(ctx, http.MethodDelete, s, object{}, &struct{}{}); err != nil {
			return err
		}
	}
	return nil
}

// append returns the likeliest id of the last row, where likeliest ids were asked for.
func (k *soak) append(ctx context.Context, r *reply, sequence string, body object) (likeliest int, err error) {
	var out struct{ Rows []json.RawMessage }
	if err := k.call(ctx, http.MethodPost, sequence+"/forward", body, &out); err != nil {
		return 0, err
	}
	for _, row := range out.Rows {
		r.Numbers = append(r.Numbers, string(row))
		var top []struct{ ID int }
		if json.Unmarshal(row, &top) == nil && len(top) > 0 {
			likeliest = top[0].ID
		}
	}
	return likeliest, nil
}

func (k *soak) call(ctx context.Context, method, path string, body object, into any) error {
	resp, err := k.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

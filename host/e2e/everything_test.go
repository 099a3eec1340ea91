package e2e

// everything_test.go does everything at once: all families on one host and two devices, more requests than fit on board, some
// of them given up half-way, layers on the move, and processes killed under it. Each answer that is waited for must be
// the one the quiet host gave.

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

// inquiry is a request whose answer is known.
type inquiry struct {
	body object
	want answer
}

// inquiries asks the quiet host.
func inquiries(t *testing.T, s *server) []inquiry {
	t.Helper()
	var list []inquiry
	for _, family := range families {
		bodies := []object{ask("What is the capital of Japan?", nil), ask("Spell ship.", nil), ask("Count from 3 to 14.", nil)}
		if family == vision {
			bodies = append(bodies, look(pictureFile(t, "picture0.png")), look(pictureFile(t, "picture2.png"), pictureFile(t, "picture4.png")))
		}
		for i, b := range bodies {
			b["model"], b["temperature"], b["seed"], b["max_tokens"], b["ignore_eos"] = family, i%2, i, 40, true
			want, err := s.complete("/v1/chat/completions", b, nil)
			if err != nil || len(want.IDs) != 40 {
				t.Fatalf("%s: %+v, %v", family, want, err)
			}
			list = append(list, inquiry{b, want})
		}
	}
	return list
}

// abandon reads a few events of a stream and hangs up.
func (s *server) abandon(body object, events int) error {
	resp := s.open("/v1/chat/completions", body)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	for lines := bufio.NewScanner(resp.Body); events > 0 && lines.Scan(); events-- {
	}
	return nil
}

// put asks in one of several ways: whole, streamed, or streamed and given up after so many lines.
func (s *server) put(q inquiry, way int) error {
	body := object{"stream": way > 0}
	for k, v := range q.body {
		body[k] = v
	}
	if way > 1 {
		return s.abandon(body, way)
	}
	got, err := s.complete("/v1/chat/completions", body, nil)
	if err == nil && !reflect.DeepEqual(got, q.want) {
		err = fmt.Errorf("got %+v\nwant %+v", got, q.want)
	}
	return err
}

func TestEverythingAtOnce(t *testing.T) {
	const requests, clients, kills = 360, 12, 9
	tables := "[[device]]\nname = \"far\"\nmemory = \"12MiB\"\ncopy = \"2GB/s\"\nread = \"20GB/s\"\n"
	for _, f := range families {
		tables += tinyOf(f, f, "context = 1024\nmax_sequences = 4\nstep_tokens = 128\ndevices = [\"cpu\", \"far\"]")
	}
	s := start(t, tables)
	known := inquiries(t, s)
	rng := rand.New(rand.NewPCG(11, 12))

	type order struct{ which, way int }
	orders, ended := make(chan order), make(chan error)
	for range clients {
		go func() {
			for o := range orders {
				err := s.put(known[o.which], o.way)
				if err != nil {
					err = fmt.Errorf("%v, way %d: %w", known[o.which].body["model"], o.way, err)
				}
				ended <- err
			}
		}()
	}
	defer close(orders)
	for sent, done := 0, 0; done < requests; {
		next, o := orders, order{rng.IntN(len(known)), rng.IntN(8)}
		if sent == requests {
			next = nil
		}
		select {
		case next <- o:
			sent++
		case err := <-ended:
			if done++; err != nil {
				t.Error(err)
			}
			s.shake(rng)
			if done%(requests/kills) == 1 {
				s.killOne(rng)
			}
		}
	}
	for _, q := range known { // whatever state they are in now, they go on
		if err := s.put(q, 0); err != nil {
			t.Errorf("afterwards %v: %v", q.body["model"], err)
		}
	}
}

// shake moves a layer of some model, or changes what its process may hold. That it has no room, or is being started, is an answer.
func (s *server) shake(rng *rand.Rand) {
	s.t.Helper()
	path, body := "/admin/move/", object{"module": fmt.Sprint("layers.", rng.IntN(3)), "device": []string{"cpu", "far"}[rng.IntN(2)]}
	if rng.IntN(6) == 0 {
		path, body = "/admin/budget/", object{"device": "far", "bytes": 100_000 << rng.IntN(5)}
	}
	switch code, out := s.post(path+families[rng.IntN(len(families))], body); code {
	case http.StatusOK, http.StatusConflict, http.StatusServiceUnavailable:
	default:
		s.t.Errorf("%s%v: %d %v", path, body, code, out)
	}
}

// killOne kills some plugin.
func (s *server) killOne(rng *rand.Rand) {
	s.t.Helper()
	pids := s.plugins()
	if len(pids) == 0 {
		s.t.Fatalf("no plugin runs\n%s", strings.TrimSpace(s.log.String()))
	}
	if err := syscall.Kill(pids[rng.IntN(len(pids))], syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		s.t.Error(err)
	}
}

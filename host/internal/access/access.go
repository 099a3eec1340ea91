// Package access says who a request is from, by the key that it shows, and whether it may come now. Only hashes of keys are held: what is
// compared is what nobody can guess from how long it takes.
package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// The variables of the environment that have keys in them.
const (
	EnvKeys  = "PIO_API_KEYS"  // NAME:KEY, separated by spaces
	EnvAdmin = "PIO_ADMIN_KEY" // one, for /admin
)

// Keys are those who may ask. The zero value has none: then everyone may.
type Keys struct {
	by map[[sha256.Size]byte]*Caller
}

// Caller is one of them.
type Caller struct {
	Name  string
	Admin bool // may give orders, and read the metrics

	mu               sync.Mutex
	requests, tokens bucket
}

// New makes keys of those that models.toml and the environment have.
func New(list []config.Key) *Keys {
	k := &Keys{by: map[[sha256.Size]byte]*Caller{}}
	for _, one := range list {
		k.by[one.SHA256] = &Caller{Name: one.Name, Admin: one.Admin, requests: newBucket(one.Requests), tokens: newBucket(one.Tokens)}
	}
	return k
}

// FromEnvironment reads the variables. Its errors show no key.
func FromEnvironment(getenv func(string) string) ([]config.Key, error) {
	var list []config.Key
	for i, entry := range strings.Fields(getenv(EnvKeys)) {
		name, key, ok := strings.Cut(entry, ":")
		if !ok || name == "" || len(key) < shortest {
			return nil, fmt.Errorf("%s: entry %d is not NAME:KEY with a key of at least %d characters; entries are separated by spaces", EnvKeys, i+1, shortest)
		}
		list = append(list, config.Key{Name: name, SHA256: Hash(key)})
	}
	if key := getenv(EnvAdmin); key != "" {
		if len(key) < shortest || strings.ContainsAny(key, " \t\r\n") {
			return nil, fmt.Errorf("%s is no key; expected at least %d characters, without spaces", EnvAdmin, shortest)
		}
		list = append(list, config.Key{Name: EnvAdmin, SHA256: Hash(key), Admin: true})
	}
	return list, nil
}

// shortest is what a key must have at least: one that a person has made up is guessed.
const shortest = 16

// longest bounds what is hashed of a header.
const longest = 512

// Hash is what is held of a key.
func Hash(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }

// NewKey draws one, of 256 bits.
func NewKey() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails
	return "pio-" + base64.RawURLEncoding.EncodeToString(b[:])
}

// Any says whether there are keys, so that requests need one.
func (k *Keys) Any() bool { return k != nil && len(k.by) > 0 }

// Of is who a request is from; nil if it shows no key that is known here.
func (k *Keys) Of(r *http.Request) *Caller {
	if !k.Any() {
		return nil
	}
	key := shown(r)
	if key == "" || len(key) > longest {
		return nil
	}
	return k.by[Hash(key)]
}

// shown is the key that a request shows, "" if there is none or it shows two: who would say which of them counts?
func shown(r *http.Request) string {
	var keys []string
	for _, value := range r.Header.Values("Authorization") {
		scheme, key, _ := strings.Cut(value, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return ""
		}
		keys = append(keys, strings.TrimSpace(key))
	}
	keys = append(keys, r.Header.Values("X-Api-Key")...)
	for _, key := range keys {
		if key != keys[0] {
			return ""
		}
	}
	if len(keys) == 0 {
		return ""
	}
	return keys[0]
}

// Admit takes a request, or says how long it must wait and for what.
func (c *Caller) Admit() (wait time.Duration, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if wait := c.tokens.wait(now, 0); wait > 0 {
		return wait, fmt.Sprintf("the key %q has used its %d tokens a minute", c.Name, c.tokens.most)
	}
	if wait := c.requests.wait(now, 1); wait > 0 {
		return wait, fmt.Sprintf("the key %q has made its %d requests a minute", c.Name, c.requests.most)
	}
	c.requests.take(1)
	return 0, ""
}

// Spend counts tokens that a request has used. They may be more than there are left: then the next waits.
func (c *Caller) Spend(tokens int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens.wait(time.Now(), 0)
	c.tokens.take(tokens)
}

// bucket fills with so many a minute, up to a minute's worth; 0 is no limit.
type bucket struct {
	most int
	left float64
	at   time.Time
}

func newBucket(most int) bucket { return bucket{most: most, left: float64(most)} }

// wait is how long until there are n left, and more than none.
func (b *bucket) wait(now time.Time, n float64) time.Duration {
	if b.most == 0 {
		return 0
	}
	if !b.at.IsZero() {
		b.left = min(b.left+now.Sub(b.at).Minutes()*float64(b.most), float64(b.most))
	}
	b.at = now
	short := n - b.left
	if short < 0 || short == 0 && n > 0 {
		return 0
	}
	return time.Duration((short/float64(b.most))*float64(time.Minute)) + time.Nanosecond
}

func (b *bucket) take(n int) {
	if b.most > 0 {
		b.left -= float64(n)
	}
}

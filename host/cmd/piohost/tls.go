// tls.go serves a certificate from files that others renew: what has changed is read again, and what is broken leaves the one before.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
	"github.com/inference-pio/inference-pio/internal/regular"
)

// certificate is the newest of two files that could be read.
type certificate struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	seen   [2]time.Time // when the files were written that were last tried
}

// openCertificate reads both files.
func openCertificate(s *config.Config, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: s.Server.TLSCert, key: s.Server.TLSKey, log: log}
	if at, err := c.refresh(); err != nil {
		return nil, &codeError{exitUsage, config.Problems{{File: s.File, Key: at, Text: err.Error()}}}
	}
	if info, err := os.Stat(c.key); err == nil && info.Mode().Perm()&0o006 != 0 {
		log.Warn("every user of this machine may read the certificate's key; take that right away: chmod o= "+c.key, "key", "server.tls_key")
	}
	return c, nil
}

// certificateProblems is what is wrong with the certificate and its key, if they are given.
func certificateProblems(file string, c *config.Config) []config.Problem {
	if c.Server.TLSCert == "" {
		return nil
	}
	if _, at, err := keyPair(c.Server.TLSCert, c.Server.TLSKey); err != nil {
		return []config.Problem{{File: file, Key: at, Text: err.Error()}}
	}
	return nil
}

// keyPair reads both files; at is the key of models.toml that is to be changed where it cannot.
func keyPair(cert, key string) (pair tls.Certificate, at string, err error) {
	chain, err := readPEM(cert, "the certificate and those that it hangs on")
	if err != nil {
		return pair, "server.tls_cert", err
	}
	secret, err := readPEM(key, "the certificate's key")
	if err != nil {
		return pair, "server.tls_key", err
	}
	if pair, err = tls.X509KeyPair(chain, secret); err != nil {
		return pair, "server.tls_key", fmt.Errorf("%s and %s are no pair: %s", key, cert, strings.TrimPrefix(err.Error(), "tls: "))
	}
	return pair, "", nil
}

const maxPEM = 1 << 20

func readPEM(path, what string) ([]byte, error) {
	text, err := regular.Read(path, maxPEM)
	switch block, _ := pem.Decode(text); {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("there is no file %s", path)
	case err == nil && block == nil:
		err = fmt.Errorf("%s is not PEM", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%w; expected a file with %s, in PEM", err, what)
	}
	return text, nil
}

// config has the certificate as it is when a client comes.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refresh() // one was loaded at the start, so that there is no error
		return c.loaded, nil
	}}
}

// refresh reads the files again if either was written since they were last tried, and says as keyPair why it has none yet.
func (c *certificate) refresh() (at string, err error) {
	now := [2]time.Time{written(c.cert), written(c.key)}
	if c.loaded != nil && now == c.seen {
		return "", nil
	}
	c.seen = now
	pair, at, err := keyPair(c.cert, c.key)
	switch {
	case err == nil && c.loaded != nil:
		c.log.Info("the certificate has changed, and new connections get it", "file", c.cert)
	case err != nil && c.loaded != nil:
		c.log.Error("the certificate has changed and cannot be read; the one before is still used", "file", c.cert, "error", err)
		return "", nil
	case err != nil:
		return at, err
	}
	c.loaded = &pair
	return "", nil
}

// written is when a file was; a time of its own if that cannot be seen.
func written(file string) time.Time {
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// parseChain is the first certificate of a file in PEM.
func parseChain(text []byte) (*x509.Certificate, error) {
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, errors.New("no certificate in it")
		}
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
		text = rest
	}
}

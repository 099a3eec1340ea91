// tls.go serves a certificate from files that others renew: what has changed is read again, and what is broken leaves the one before.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
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
func openCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, log: log}
	if c.refresh(); c.loaded == nil {
		_, err := tls.LoadX509KeyPair(cert, key)
		return nil, &codeError{exitUsage, fmt.Errorf("server.tls_cert and server.tls_key: %w", err)}
	}
	return c, nil
}

// config has the certificate as it is when a client comes.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refresh()
		return c.loaded, nil
	}}
}

// refresh reads the files again if either was written since they were last tried.
func (c *certificate) refresh() {
	now := [2]time.Time{written(c.cert), written(c.key)}
	if now == c.seen {
		return
	}
	c.seen = now
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	switch {
	case err == nil && c.loaded != nil:
		c.log.Info("the certificate has changed, and new connections get it", "file", c.cert)
	case err != nil && c.loaded != nil:
		c.log.Error("the certificate has changed and cannot be read; the one before is still used", "file", c.cert, "error", err)
		return
	case err != nil:
		return
	}
	c.loaded = &pair
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

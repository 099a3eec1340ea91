package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/access"
	"github.com/inference-pio/inference-pio/host/internal/config"
)

func TestWhatIsConfined(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80", "192.168.0.7:80": "127.0.0.1:80", "pio.example.com:80": "127.0.0.1:80",
		"[2001:db8::1]:80": "[::1]:80", "127.0.0.1:80": "127.0.0.1:80", "127.1.2.3:80": "127.1.2.3:80", "[::1]:80": "[::1]:80", "localhost:80": "localhost:80", "[::ffff:127.0.0.1]:80": "[::ffff:127.0.0.1]:80",
	} {
		if got, changed := confined(address); got != want || changed != (got != address) {
			t.Errorf("%s: %s, %v; want %s", address, got, changed, want)
		}
	}
}

// Nobody else reaches a host that asks for no key, at either address, unless it is said that he may.
func TestWithoutKeysAHostListensOnLoopback(t *testing.T) {
	t.Setenv(access.EnvKeys, "")
	for _, c := range []struct {
		server   config.Server
		keys     []config.Key
		confined bool
	}{
		{config.Server{}, nil, true},
		{config.Server{Open: true}, nil, false},
		{config.Server{}, []config.Key{{Name: "a", SHA256: access.Hash("a")}}, false},
	} {
		var log bytes.Buffer
		c.server.Listen, c.server.AdminListen = "0.0.0.0:0", "0.0.0.0:0"
		d, err := openDoors(&config.Config{Server: c.server, Keys: c.keys}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		for key, l := range map[string]net.Listener{"server.listen": d.main, "server.admin_listen": d.orders} {
			at := l.Addr().(*net.TCPAddr)
			if at.IP.IsLoopback() != c.confined || strings.Contains(log.String(), "listens on loopback alone") != c.confined || c.confined && !strings.Contains(log.String(), "key="+key) {
				t.Errorf("%+v, %d keys: %s is %s\n%s", c.server, len(c.keys), key, at, &log)
			}
		}
		err = locked(&config.Config{}, access.New(nil), d.main.Addr())
		if (err == nil) != c.confined {
			t.Errorf("a reload that takes the keys away from %s: %v", d.main.Addr(), err)
		}
		d.close()
	}
}

// selfSigned writes a certificate with that serial number, and its key.
func selfSigned(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "pio"}, DNSNames: []string{"pio.example.com"}, BasicConstraintsValid: true, IsCA: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A certificate that was renewed is served to the next connection; one that cannot be read leaves the one before. Commands on this machine
// believe it although nobody has signed it, and nobody speaks to the host without TLS.
func TestARenewedCertificateIsServed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	c := &config.Config{Server: config.Server{Listen: "127.0.0.1:0", TLSCert: cert, TLSKey: key}}
	log := slog.New(slog.DiscardHandler)
	if _, err := openDoors(c, log); err == nil || !strings.Contains(err.Error(), "server.tls_cert: there is no file "+cert) {
		t.Errorf("without files: %v", err)
	}
	selfSigned(t, cert, key, 1)
	d, err := openDoors(c, log)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	failed := make(chan error, 1)
	d.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }), d.main, failed)
	defer d.shut(context.Background())
	address := d.main.Addr().String()
	serial := func() int64 {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	age := func(by time.Duration) { // files of one moment look alike
		for _, file := range []string{cert, key} {
			if err := os.Chtimes(file, time.Time{}, time.Now().Add(by)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := serial(); got != 1 {
		t.Errorf("at first the certificate %d is served", got)
	}
	selfSigned(t, cert, key, 2)
	age(time.Second)
	if got := serial(); got != 2 {
		t.Errorf("after it was renewed the certificate %d is served", got)
	}
	if err := os.WriteFile(cert, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	age(2 * time.Second)
	if got := serial(); got != 2 {
		t.Errorf("after a broken one the certificate %d is served", got)
	}
	selfSigned(t, cert, key, 3)
	age(3 * time.Second)
	r := localAt(c, address)
	resp, err := r.client.Get(r.base)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if n := resp.TLS.PeerCertificates[0].SerialNumber.Int64(); n != 3 || resp.TLS.Version < tls.VersionTLS12 {
		t.Errorf("a command is served the certificate %d over %x", n, resp.TLS.Version)
	}
	if resp, err := http.Get("http://" + address); err == nil && resp.StatusCode == http.StatusOK {
		t.Error("without TLS it answers too")
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("it speaks TLS 1.1")
	}
}

package main

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A host behind TLS is asked; one whose certificate nobody vouches for is not.
func TestHostBehindTLS(t *testing.T) {
	h := newFakeHost(t)
	server := httptest.NewTLSServer(h)
	defer server.Close()
	trusted := filepath.Join(t.TempDir(), "certificates.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(trusted, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(env string) (string, error) {
		cmd := exec.Command(filepath.Join(binaries, "piohost"), "run", "tiny", "Well?", "--host", server.URL)
		cmd.Env = append(os.Environ(), env)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := ask("SSL_CERT_FILE=" + os.DevNull); err == nil || !strings.Contains(out, "no host answers at "+server.URL+" (--host): tls: failed to verify certificate") {
		t.Errorf("%v: %s", err, out)
	}
	h.answers("Yes.", "", ended)
	if out, err := ask("SSL_CERT_FILE=" + trusted); err != nil || out != "Yes.\n" {
		t.Errorf("%v: %s", err, out)
	}
	h.question(t, "user: Well?")
}

func TestAddressesOfHosts(t *testing.T) {
	for text, want := range map[string]string{
		"example.com": "http://example.com:8080", "example.com:1": "http://example.com:1", "http://example.com": "http://example.com",
		"https://example.com/pio/": "https://example.com/pio", "https://example.com/pio/v1/": "https://example.com/pio", "[::1]": "http://[::1]:8080",
		"[::1]:9": "http://[::1]:9",
	} {
		if r, err := overURL(text, "--host"); err != nil || r.base != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{"http://", "ftp://example.com", "http://a?b", "http://a#b", "http://a b", ":8080", "http://%"} {
		if r, err := overURL(text, "--host"); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	if r, err := overURL("http://ada:secret@example.com", "PIO_HOST"); err != nil || strings.Contains(r.named, "secret") {
		t.Errorf("%+v, %v", r, err)
	}
}

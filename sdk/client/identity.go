package client

// identity.go: the host's side of mutual TLS. A host hands its certificate to the plugin in an environment variable before
// the connection, and gets the plugin's in the handshake line.

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// EnvCertificate is the variable in which a plugin finds the certificate its host will show, in PEM.
const EnvCertificate = "PLUGIN_CLIENT_CERT"

// identityLife is longer than any process lives; the certificate vanishes with it.
const identityLife = 30 * 365 * 24 * time.Hour

// Identity is a certificate and its key for one connection to one plugin. The key is P-256: every TLS library has it, while
// go-plugin's own AutoMTLS makes one for P-521, which BoringSSL, and so every gRPC but Go's and Java's, does not accept.
type Identity struct {
	certificate tls.Certificate
	pem         string
}

// NewIdentity makes a certificate that signs itself.
func NewIdentity() (*Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("no key for mutual TLS: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("no key for mutual TLS: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost", Organization: []string{"inference-pio"}},
		DNSNames:     []string{"localhost"},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(identityLife),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		// A plugin trusts it as the authority that signed it, which is itself.
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("no certificate for mutual TLS: %w", err)
	}
	return &Identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem:         string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
	}, nil
}

// Env is the pair for the plugin's environment.
func (i *Identity) Env() string { return EnvCertificate + "=" + i.pem }

// TLS makes the configuration of the connection. It trusts nobody yet: go-plugin adds the certificate of the handshake line
// to what it is given as ClientConfig.TLSConfig, and another host adds it to RootCAs itself.
func (i *Identity) TLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{i.certificate},
		RootCAs:      x509.NewCertPool(),
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS12,
	}
}

package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// boringSchemes are the signatures that a BoringSSL server asks a client for (kVerifySignatureAlgorithms in its
// extensions.cc). ECDSA with P-521 is not among them.
var boringSchemes = []tls.SignatureScheme{
	tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.PKCS1WithSHA256,
	tls.ECDSAWithP384AndSHA384, tls.PSSWithSHA384, tls.PKCS1WithSHA384,
	tls.PSSWithSHA512, tls.PKCS1WithSHA512, tls.PKCS1WithSHA1,
}

// A client whose certificate the server did not ask for sends none, and the server hangs up.
func TestIdentityIsOneThatBoringSSLAsksFor(t *testing.T) {
	identity := newIdentity(t)
	certificate := identity.TLS().Certificates[0]
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		asked := &tls.CertificateRequestInfo{SignatureSchemes: boringSchemes, Version: version}
		if err := asked.SupportsCertificate(&certificate); err != nil {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// A server that takes the curves P-256 and P-384 alone, as BoringSSL does, for keys and for the exchange, lets it in, and
// knows it from the environment alone.
func TestIdentityOpensADoorThatKnowsTwoCurves(t *testing.T) {
	identity, plugin := newIdentity(t), newIdentity(t)
	door := &tls.Config{
		Certificates:     plugin.TLS().Certificates,
		ClientAuth:       tls.RequireAndVerifyClientCert,
		ClientCAs:        poolOf(t, identity),
		MinVersion:       tls.VersionTLS12,
		CurvePreferences: []tls.CurveID{tls.CurveP256, tls.CurveP384},
		VerifyConnection: func(s tls.ConnectionState) error {
			key, ok := s.PeerCertificates[0].PublicKey.(*ecdsa.PublicKey)
			if !ok || !slices.Contains([]elliptic.Curve{elliptic.P256(), elliptic.P384()}, key.Curve) {
				return fmt.Errorf("a key of type %T", s.PeerCertificates[0].PublicKey)
			}
			return nil
		},
	}
	guest := identity.TLS()
	guest.RootCAs = poolOf(t, plugin)
	if err := shake(t, door, guest); err != nil {
		t.Error(err)
	}
	stranger := newIdentity(t).TLS()
	stranger.RootCAs = poolOf(t, plugin)
	if err := shake(t, door, stranger); err == nil {
		t.Error("somebody with another certificate was let in")
	}
	if err := shake(t, door, identity.TLS()); err == nil {
		t.Error("a host that was told no certificate trusts the plugin")
	}
}

func newIdentity(t *testing.T) *Identity {
	t.Helper()
	identity, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return identity
}

func poolOf(t *testing.T, i *Identity) *x509.CertPool {
	t.Helper()
	_, certificate, _ := strings.Cut(i.Env(), EnvCertificate+"=")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(certificate)) {
		t.Fatalf("not a certificate: %q", certificate)
	}
	return pool
}

// shake returns the first error of the two sides, each of which has said and heard something afterwards.
func shake(t *testing.T, door, guest *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", door)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	failed := make(chan error, 1)
	go func() {
		server, err := listener.Accept()
		if err == nil {
			_, err = server.Write([]byte("x"))
			server.Close()
		}
		failed <- err
	}()
	client, err := tls.Dial("tcp", listener.Addr().String(), guest)
	if err == nil {
		_, err = client.Read(make([]byte, 1)) // in TLS 1.3 the client hears of a refusal only here
		client.Close()
	}
	if theirs := <-failed; theirs != nil {
		return theirs
	}
	return err
}

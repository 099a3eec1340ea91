package conformance

// file_test.go: twins whose flaw is in how the process behaves. The test binary plays them, behind a script for each.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/inference-pio/inference-pio/sdk"
	"github.com/inference-pio/inference-pio/sdk/client"
	"github.com/inference-pio/inference-pio/sdk/internal/pb"
	"github.com/inference-pio/inference-pio/sdk/serve"
	"github.com/inference-pio/inference-pio/sdk/serve/servetest"
)

const envTwin = "CONFORMANCE_TWIN"

func TestMain(m *testing.M) {
	if flaw := os.Getenv(envTwin); flaw != "" {
		playProcess(flaw)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // panics on purpose
	os.Exit(m.Run())
}

// file is the plugin's file with a flaw.
func file(t *testing.T, flaw string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "plugin")
	text := fmt.Sprintf("#!/bin/sh\n%s='%s' exec '%s' \"$@\"\n", envTwin, flaw, self)
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// alert is the reference, and does something in its first call.
type alert struct {
	reference
	once sync.Once
	do   func()
}

func (a *alert) Describe() sdk.Description {
	if os.Getenv(sdk.CookieKey) != "" {
		a.once.Do(a.do)
	}
	return a.reference.Describe()
}

// frees is the reference, and does something when it is unloaded.
type frees struct {
	reference
	do func()
}

func (f *frees) Unload(context.Context) error { f.do(); return nil }

// playProcess does not return.
func playProcess(flaw string) {
	hosted := os.Getenv(sdk.CookieKey) != ""
	var plugin sdk.Plugin = &reference{}
	switch flaw {
	case "describes itself in words":
		if len(os.Args) > 1 {
			fmt.Println("this is the reference")
			os.Exit(0)
		}
	case "fails to describe itself":
		if len(os.Args) > 1 {
			os.Exit(1)
		}
	case "describes another":
		if !hosted {
			plugin = &twin{describe: func(d sdk.Description) sdk.Description { d.Version = "2.0.0"; return d }}
		}
	case "says nothing to a person":
		if !hosted && len(os.Args) == 1 {
			os.Exit(1)
		}
	case "is content with a person":
		if !hosted && len(os.Args) == 1 {
			fmt.Fprintln(os.Stderr, "hello")
			os.Exit(0)
		}
	case "talks before the handshake":
		if hosted {
			fmt.Println("found 1 device")
		}
	case "listens elsewhere":
		if hosted {
			dir, err := os.MkdirTemp("", "pio")
			if err != nil {
				panic(err)
			}
			os.Setenv("PLUGIN_UNIX_SOCKET_DIR", dir)
		}
	case "loads before the handshake":
		if hosted {
			_, _ = io.Copy(io.Discard, os.NewFile(3, "lifeline")) // for as long as the host lives
			os.Exit(0)
		}
	case "outlives its host":
		os.Unsetenv(sdk.EnvLifeline)
	case "takes SIGINT for its own":
		plugin = &alert{do: func() {
			interrupted := make(chan os.Signal, 1)
			signal.Notify(interrupted, os.Interrupt)
			go func() {
				<-interrupted
				os.Exit(130)
			}()
		}}
	case "does not hear SIGTERM":
		plugin = &alert{do: func() { signal.Ignore(syscall.SIGTERM) }}
	case "falls over its own end":
		plugin = &frees{do: func() { panic("freed twice") }}
	case "writes a log without lines":
		plugin = &alert{do: func() { fmt.Fprintln(os.Stderr, strings.Repeat("x", maxLogLine+1)) }}
	case "speaks in the clear":
		os.Unsetenv(client.EnvCertificate)
	case "lets anybody in":
		if hosted {
			playServer(grpc_health_v1.HealthCheckResponse_SERVING, true)
		}
	case "does not tell its health":
		if hosted {
			playServer(grpc_health_v1.HealthCheckResponse_UNKNOWN, false)
		}
	case "is never well":
		if hosted {
			playServer(grpc_health_v1.HealthCheckResponse_NOT_SERVING, false)
		}
	}
	serve.Main(plugin)
}

// playServer serves the reference without go-plugin: with a health, if it is not unknown, and with TLS for everybody or as the
// host asks.
func playServer(state grpc_health_v1.HealthCheckResponse_ServingStatus, open bool) {
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(3, "lifeline"))
		os.Exit(1)
	}()
	signal.Ignore(os.Interrupt)
	certificate, secure := ownCertificate(os.Getenv(client.EnvCertificate), open)
	server := grpc.NewServer(grpc.Creds(secure))
	inner, _, err := servetest.InProcess(&reference{})
	if err != nil {
		panic(err)
	}
	b := &beneath{inner: inner}
	pb.RegisterModelServer(server, b)
	pb.RegisterSchedulerServer(server, b)
	if state != grpc_health_v1.HealthCheckResponse_UNKNOWN {
		well := health.NewServer()
		well.SetServingStatus("plugin", state)
		grpc_health_v1.RegisterHealthServer(server, well)
	}
	socket, served, err := serveOn(server, os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), 1)
	if err != nil {
		panic(err)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	fmt.Printf("1|1|unix|%s|grpc|%s\n", socket, certificate)
	<-term
	server.GracefulStop()
	served.Wait()
	os.Exit(0)
}

// serveOn serves on a socket of its own in dir.
func serveOn(server *grpc.Server, dir string, number int64) (socket string, served *sync.WaitGroup, err error) {
	socket = filepath.Join(dir, fmt.Sprint(number))
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return "", nil, err
	}
	served = &sync.WaitGroup{}
	served.Go(func() { _ = server.Serve(listener) }) // it returns when the server is stopped
	return socket, served, nil
}

// ownCertificate is what a plugin does when the host has one; open admits those who show none.
func ownCertificate(hosts string, open bool) (string, credentials.TransportCredentials) {
	if hosts == "" {
		return "", insecure.NewCredentials()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	if !open {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM([]byte(hosts))
	}
	return base64.RawStdEncoding.EncodeToString(der), credentials.NewTLS(config)
}

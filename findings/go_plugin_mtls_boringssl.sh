#!/usr/bin/env bash
# go-plugin's AutoMTLS and a plugin whose gRPC is built on BoringSSL cannot meet.
#
# github.com/hashicorp/go-plugin v1.8.0 makes the host's client certificate with an ECDSA key on P-521. A gRPC server built on
# BoringSSL (Python's grpcio 1.85.3; C++ and Ruby share the core) does not list ecdsa_secp521r1_sha512 among the signature algorithms
# of its CertificateRequest, so Go's TLS sends no certificate at all, and the server that requires one ends the handshake with
# PEER_DID_NOT_RETURN_A_CERTIFICATE. The host sees the connection die; without AutoMTLS the same plugin answers.
#
# Seen 2026-11-28: "with mtls: no", "without: yes", and PEER_DID_NOT_RETURN_A_CERTIFICATE in the server's log.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check grpcio==1.85.3 grpcio-health-checking==1.85.1 cryptography==50.0.2

cat > plugin.py <<'PY'
import base64, datetime, os, sys
from concurrent import futures
import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(futures.ThreadPoolExecutor(2))
service = health.HealthServicer()
service.set("plugin", health_pb2.HealthCheckResponse.SERVING)
health_pb2_grpc.add_HealthServicer_to_server(service, server)
address = "unix:" + os.getcwd() + f"/{os.getpid()}.sock"
told = ""
client = os.environ.get("PLUGIN_CLIENT_CERT")
if client:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
            .serial_number(1).not_valid_before(now - datetime.timedelta(minutes=1)).not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
            .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256()))
    pem = cert.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    told = base64.b64encode(cert.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
    server.add_secure_port(address, grpc.ssl_server_credentials([(secret, pem)], client.encode(), True))
else:
    server.add_insecure_port(address)
server.start()
print(f"1|1|unix|{address.removeprefix('unix:')}|grpc|{told}", flush=True)
server.wait_for_termination(20)
PY

cat > main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

type bare struct{ plugin.NetRPCUnsupportedPlugin }

func (bare) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) { return c, nil }
func (bare) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error                                  { return nil }

func answers(mtls bool) string {
	c := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "K", MagicCookieValue: "v"},
		Plugins:          plugin.PluginSet{"plugin": bare{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC}, AutoMTLS: mtls, Cmd: exec.Command("venv/bin/python", "plugin.py"),
		Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Debug}), UnixSocketConfig: &plugin.UnixSocketConfig{},
	})
	defer c.Kill()
	p, err := c.Client()
	if err != nil {
		return "no"
	}
	conn, err := p.Dispense("plugin")
	if err != nil {
		return "no"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(conn.(*grpc.ClientConn)).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "plugin"})
	if err != nil {
		return "no"
	}
	return "yes"
}

func main() {
	fmt.Println("with mtls:", answers(true))
	fmt.Println("without:", answers(false))
}
GO
go mod init finding >/dev/null 2>&1
go get github.com/hashicorp/go-plugin@v1.8.0 google.golang.org/grpc@v1.85.0 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
timeout 120 go run . > out.txt 2> log.txt || true
cat out.txt
grep -o PEER_DID_NOT_RETURN_A_CERTIFICATE log.txt | head -1 || true
grep -qx "with mtls: no" out.txt && grep -qx "without: yes" out.txt && grep -q PEER_DID_NOT_RETURN_A_CERTIFICATE log.txt ||
  { echo "changed: go-plugin's AutoMTLS and a BoringSSL server now meet, or fail in another way" >&2; exit 1; }
echo "as described"

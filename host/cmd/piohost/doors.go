// doors.go has the addresses at which a host is reached: that of the API, and one apart for orders and the metrics.
package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// doors are open listeners, and the servers behind them.
type doors struct {
	main, orders net.Listener // orders is nil if they come where the rest does
	certificate  *certificate // nil without TLS
	log          *slog.Logger
	servers      []*http.Server
}

// openDoors listens where models.toml says, or on loopback alone where nobody would have to show a key.
func openDoors(c *config.Config, log *slog.Logger) (*doors, error) {
	keys, err := keyring(c)
	if err != nil {
		return nil, err
	}
	d := &doors{log: log}
	if c.Server.TLSCert != "" {
		if d.certificate, err = openCertificate(c, log); err != nil {
			return nil, err
		}
	}
	here := *c
	if !keys.Any() && !c.Server.Open {
		here.Server.Listen = d.confine(c.Server.Listen, "server.listen")
	}
	if d.main, err = listen(&here, "server.listen"); err != nil || c.Server.AdminListen == "" {
		return d, err
	}
	here.Server.Listen = c.Server.AdminListen
	if !keys.Any() && !c.Server.Open {
		here.Server.Listen = d.confine(c.Server.AdminListen, "server.admin_listen")
	}
	if d.orders, err = listen(&here, "server.admin_listen"); err != nil {
		d.main.Close()
		return nil, err
	}
	return d, nil
}

// confine is the address on loopback for one that others could reach, which is told.
func (d *doors) confine(address, key string) string {
	loopback, changed := confined(address)
	if changed {
		d.log.Warn("there are no keys, so that the host listens on loopback alone; add a [[key]] (piohost config key NAME makes one), or set server.open",
			"key", key, "asked", address, "listens", loopback)
	}
	return loopback
}

// serve answers at both addresses; the channel tells why one of them ended.
func (d *doors) serve(s *service, models int) <-chan error {
	failed := make(chan error, 2)
	d.start(s, d.main, failed)
	d.log.Info("listening", "address", d.url(d.main), "models", models)
	if d.orders != nil {
		d.start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.orders.Load()).ServeHTTP(w, r) }), d.orders, failed)
		d.log.Info("listening for orders and metrics", "address", d.url(d.orders))
	}
	return failed
}

func (d *doors) start(h http.Handler, l net.Listener, failed chan<- error) {
	server := newServer(h)
	d.servers = append(d.servers, server)
	if d.certificate == nil {
		go func() { failed <- server.Serve(l) }()
		return
	}
	server.TLSConfig = d.certificate.config()
	server.ErrorLog = slog.NewLogLogger(d.log.Handler(), slog.LevelDebug) // of handshakes that fail: whoever knocks would fill the log
	go func() { failed <- server.ServeTLS(l, "", "") }()
}

func (d *doors) url(l net.Listener) string {
	if d.certificate != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// shut lets what runs end until ctx does.
func (d *doors) shut(ctx context.Context) {
	for _, server := range d.servers {
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // it has a connection that does not end
		}
	}
}

func (d *doors) close() {
	d.main.Close()
	if d.orders != nil {
		d.orders.Close()
	}
}

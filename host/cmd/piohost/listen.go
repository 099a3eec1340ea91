// listen.go opens the address of the API, and says by which names it may be asked for there.
package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/inference-pio/inference-pio/host/internal/api"
	"github.com/inference-pio/inference-pio/host/internal/config"
)

func listen(c *config.Config, key string) (net.Listener, error) {
	l, err := net.Listen(network(c.Server.Listen), c.Server.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use by another program, perhaps another piohost; stop it, or change %s in %s", c.Server.Listen, key, c.File)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s (%s in %s): %w", c.Server.Listen, key, c.File, err)
	}
	return l, nil
}

// network is what to listen in. Go takes 0.0.0.0 for every address of either kind; who writes it means those of IPv4.
// "[::]:8080" and ":8080" are for both.
func network(address string) string {
	if at, err := netip.ParseAddrPort(address); err == nil && at.Addr().Is4() {
		return "tcp4"
	}
	return "tcp"
}

// guardOf is who may ask a host that listens at address.
func guardOf(address net.Addr, c *config.Config) *api.Guard {
	return &api.Guard{Address: address, Names: machineNames(), Hosts: c.Server.Hosts, Origins: c.Server.CORS}
}

// machineNames are what other machines call this one: its name, with and without its domain, and in the local network.
func machineNames() []string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return nil
	}
	name = strings.ToLower(name)
	short, _, _ := strings.Cut(name, ".")
	return []string{name, short, short + ".local"}
}

// guard.go turns away pages of the web that reach a host through a browser of its user. A page can point its own name at this
// machine (DNS rebinding) and is then of one origin with the host: only the Host header, which the browser fills with that
// name, gives it away. And a page of any name can send requests here whose answers it cannot read.
//
// So the name that a client asked for must be one that this host is known by, and a page's origin must be the host's own or
// one of those in server.cors. A program that is no browser sends no Origin and names the address that it connects to: it
// meets none of this.
package api

import (
	"net"
	"net/http"
	"net/netip"
	neturl "net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"

	"github.com/inference-pio/inference-pio/host/internal/body"
	"github.com/inference-pio/inference-pio/host/internal/problem"
)

// preflightAge is how long a browser may go without asking again whether a page may send what it sends.
const preflightAge = 10 * time.Minute

// Guard says by which names a host may be asked for, and from which pages.
type Guard struct {
	// Address is where the host listens. If only this machine can reach it, names of loopback alone are taken; else any
	// IP address is, as no page can have one for its name and point it elsewhere.
	Address net.Addr
	Names   []string // of this machine, beside localhost; ignored where Address is loopback's
	Hosts   []string // server.hosts: further names, "*.example.com" for those below one, "*" for any
	Origins []string // server.cors: "https://example.com", "*" for any
}

// guard checks a request before anything else looks at it, and tells browsers what they ask for.
func (a *api) guard(g *Guard, next http.Handler) http.Handler {
	page := cors.New(cors.Options{
		AllowOriginVaryRequestFunc: func(r *http.Request, origin string) (bool, []string) { return g.takesOrigin(r, origin), nil },
		AllowedMethods:             []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete},
		AllowedHeaders:             []string{"*"}, // each by its name: clients send Authorization and a dozen x-stainless-*
		ExposedHeaders:             []string{"X-Request-Id", "Request-Id", "Retry-After"},
		MaxAge:                     int(preflightAge.Seconds()),
		AllowPrivateNetwork:        true,
	}).Handler(next)
	refuse := func(w http.ResponseWriter, r *http.Request, code, message string) {
		a.count("refused", http.StatusForbidden, 0)
		if a.once.First(code + " " + message) {
			a.o.Log.Warn("a request was refused; this is said once", "code", code, "reason", message)
		}
		writeError(w, r, problem.New(http.StatusForbidden, "", code, message))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		switch {
		case !g.takesHost(r.Host):
			refuse(w, r, "host_not_allowed", "this host is not known by the name "+body.Clip(r.Host)+"; if it is yours, list it in server.hosts of models.toml")
		case origin != "" && !ownOrigin(r, origin) && !g.takesOrigin(r, origin):
			w.Header().Add("Vary", "Origin")
			refuse(w, r, "origin_not_allowed", "pages of "+body.Clip(origin)+" may not use this host; list the origin in server.cors of models.toml to let them")
		default:
			page.ServeHTTP(w, r)
		}
	})
}

// takesHost checks a Host header, whose port does not matter. HTTP/1.0 has none, and neither do browsers speak it.
func (g *Guard) takesHost(header string) bool {
	name := hostOf(header)
	if header == "" || slices.ContainsFunc(g.Hosts, func(pattern string) bool { return matchesHost(pattern, name) }) {
		return true
	}
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761: never asked of a name server
		return true
	}
	ip, err := netip.ParseAddr(name)
	if g.loopback() {
		return err == nil && ip.Unmap().IsLoopback()
	}
	return err == nil || name != "" && slices.Contains(g.Names, name)
}

func (g *Guard) loopback() bool {
	t, ok := g.Address.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}

// hostOf is the name or address in a Host header, in lower case, without its port.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

func matchesHost(pattern, name string) bool {
	if below, ok := strings.CutPrefix(pattern, "*."); ok {
		return strings.HasSuffix(name, "."+below)
	}
	return pattern == "*" || pattern == name
}

// takesOrigin looks a page up in server.cors. "*" is for answers, not for orders: who may give those is said by name.
func (g *Guard) takesOrigin(r *http.Request, origin string) bool {
	return slices.Contains(g.Origins, strings.ToLower(origin)) || slices.Contains(g.Origins, "*") && !isOrder(r.URL.Path)
}

// isOrder is what operators do and see.
func isOrder(path string) bool {
	return strings.HasPrefix(path, "/admin/") || path == "/api/pull" || path == "/api/delete"
}

// ownOrigin says whether the page came from here: the name and the port that it asks for are its own. The scheme may differ
// where a proxy speaks TLS.
func ownOrigin(r *http.Request, origin string) bool {
	u, err := neturl.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	port := map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	return port != "" && strings.EqualFold(strings.TrimSuffix(u.Host, port), strings.TrimSuffix(r.Host, port))
}

package main

import (
	"net"
	"testing"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

// 0.0.0.0 is every address of IPv4 and none of IPv6; [::] and no address at all are both.
func TestWhereItListens(t *testing.T) {
	six := "[::1]"
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		six = "" // a machine without IPv6
	} else {
		l.Close()
	}
	for _, c := range []struct {
		listen    string
		four, six bool
	}{
		{"0.0.0.0:0", true, false},
		{"127.0.0.1:0", true, false},
		{"[::]:0", true, true},
		{":0", true, true},
		{"[::1]:0", false, true},
	} {
		if six == "" && c.listen == "[::1]:0" {
			continue
		}
		l, err := listen(&config.Config{Server: config.Server{Listen: c.listen}}, "server.listen")
		if err != nil {
			t.Errorf("%s: %v", c.listen, err)
			continue
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		if got := answers("127.0.0.1:" + port); got != c.four {
			t.Errorf("%s: IPv4 answers: %v", c.listen, got)
		}
		if got := six != "" && answers(six+":"+port); got != (c.six && six != "") {
			t.Errorf("%s: IPv6 answers: %v", c.listen, got)
		}
		l.Close()
	}
}

func answers(address string) bool {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

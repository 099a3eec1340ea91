package access

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/inference-pio/inference-pio/host/internal/config"
)

const secret = "pio-0123456789abcdef"

// What is no key of ours is nobody's, however close it comes.
func TestWhoIsNobody(t *testing.T) {
	k := New([]config.Key{{Name: "alice", SHA256: Hash(secret)}, {Name: "root", SHA256: Hash(secret + "!"), Admin: true}})
	sum := Hash(secret)
	for _, c := range []struct {
		header, value, header2, value2 string
		want                           string
	}{
		{"Authorization", "Bearer " + secret, "", "", "alice"},
		{"Authorization", "bearer  " + secret + " ", "", "", "alice"},
		{"X-Api-Key", secret, "", "", "alice"},
		{"Authorization", "Bearer " + secret, "X-Api-Key", secret, "alice"},
		{"Authorization", "Bearer " + secret + "!", "", "", "root"},

		{"", "", "", "", ""},
		{"Authorization", "Bearer ", "", "", ""},
		{"Authorization", "Bearer", "", "", ""},
		{"Authorization", secret, "", "", ""},
		{"Authorization", "Basic " + secret, "", "", ""},
		{"Authorization", "Bearer " + secret[:len(secret)-1], "", "", ""},
		{"Authorization", "Bearer " + secret + secret, "", "", ""},
		{"Authorization", "Bearer " + strings.ToUpper(secret), "", "", ""},
		{"Authorization", "Bearer \"" + secret + "\"", "", "", ""},
		{"Authorization", "Bearer " + string(sum[:]), "", "", ""},
		{"Authorization", "Bearer alice", "", "", ""},
		{"Authorization", "Bearer " + secret, "X-Api-Key", secret + "!", ""},
		{"Authorization", "Basic x", "X-Api-Key", secret, ""},
		{"X-Api-Key", "", "", "", ""},
		{"X-Api-Key", strings.Repeat("a", 1<<20), "", "", ""},
		{"Cookie", "key=" + secret, "", "", ""},
	} {
		r, err := http.NewRequest(http.MethodGet, "http://localhost/v1/models?key="+secret+"&api_key="+secret, nil)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		if c.header2 != "" {
			r.Header.Set(c.header2, c.value2)
		}
		got := ""
		if who := k.Of(r); who != nil {
			got = who.Name
		}
		if got != c.want {
			t.Errorf("%s %q, %s %q: %q, want %q", c.header, c.value, c.header2, c.value2, got, c.want)
		}
	}
	var none *Keys
	if r, _ := http.NewRequest(http.MethodGet, "http://localhost/", nil); none.Any() || New(nil).Any() || none.Of(r) != nil {
		t.Error("there are keys where none were given")
	}
}

func TestKeysOfTheEnvironment(t *testing.T) {
	env := func(keys, admin string) func(string) string {
		return func(name string) string { return map[string]string{EnvKeys: keys, EnvAdmin: admin}[name] }
	}
	list, err := FromEnvironment(env(" a:"+secret+"\n b:"+secret+"2 ", secret+"3"))
	if err != nil || len(list) != 3 || list[0].Name != "a" || list[1].SHA256 != Hash(secret+"2") || list[1].Admin || !list[2].Admin {
		t.Errorf("%+v, %v", list, err)
	}
	for _, bad := range []func(string) string{env(secret, ""), env("a:short", ""), env(":"+secret, ""), env("", "short"), env("", secret+" "+secret)} {
		if _, err := FromEnvironment(bad); err == nil || strings.Contains(err.Error(), "0123") || strings.Contains(err.Error(), "short\"") {
			t.Errorf("%v", err)
		}
	}
	if a, b := NewKey(), NewKey(); a == b || len(a) < 40 || !strings.HasPrefix(a, "pio-") {
		t.Errorf("%s, %s", a, b)
	}
}

// As many requests as a minute has may come at once; then there is one each time its part of the minute has passed.
func TestRequestsOfAKeyAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New([]config.Key{{Name: "a", SHA256: Hash(secret), Requests: 6}}).by[Hash(secret)]
		for i := range 6 {
			if wait, why := c.Admit(); wait > 0 {
				t.Fatalf("request %d waits %v: %s", i, wait, why)
			}
		}
		wait, why := c.Admit()
		if wait < 10*time.Second-time.Second || wait > 10*time.Second+time.Second || why != `the key "a" has made its 6 requests a minute` {
			t.Errorf("%v: %s", wait, why)
		}
		time.Sleep(wait)
		if wait, _ := c.Admit(); wait > 0 {
			t.Errorf("after the wait it waits %v more", wait)
		}
		if wait, _ := c.Admit(); wait == 0 {
			t.Error("two came where one had waited")
		}
		time.Sleep(time.Hour)
		n := 0
		for ; n < 20; n++ {
			if wait, _ := c.Admit(); wait > 0 {
				break
			}
		}
		if n != 6 {
			t.Errorf("after an hour %d come at once", n)
		}
	})
}

// A request may use more tokens than there are left: it is not cut off, but the next waits until they have come back.
func TestTokensOfAKeyAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New([]config.Key{{Name: "a", SHA256: Hash(secret), Tokens: 60}}).by[Hash(secret)]
		c.Spend(59)
		if wait, _ := c.Admit(); wait > 0 {
			t.Errorf("one is left, and it waits %v", wait)
		}
		c.Spend(61)
		wait, why := c.Admit()
		if wait < 59*time.Second || wait > 61*time.Second || why != `the key "a" has used its 60 tokens a minute` {
			t.Errorf("%v: %s", wait, why)
		}
		time.Sleep(wait)
		if wait, _ := c.Admit(); wait > 0 {
			t.Errorf("after the wait it waits %v more", wait)
		}
	})
	free := New([]config.Key{{Name: "a", SHA256: Hash(secret)}}).by[Hash(secret)]
	free.Spend(1 << 30)
	if wait, _ := free.Admit(); wait > 0 {
		t.Errorf("without a limit it waits %v", wait)
	}
}

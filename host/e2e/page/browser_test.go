// Package page has tests of the host's page in a headless Chromium, against a host that package e2e has started: PIO_PAGE_URL says where. With
// PIO_SCREENSHOTS the pictures of what was seen are kept in that folder.
package page

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is for a busy machine: nothing passes or fails by time.
const patience = 2 * time.Minute

var (
	home    = os.Getenv("PIO_PAGE_URL")    // a host without keys that takes orders
	locked  = os.Getenv("PIO_LOCKED_URL")  // one with keys
	public  = os.Getenv("PIO_PUBLIC_URL")  // one whose orders have an address of their own
	private = os.Getenv("PIO_PRIVATE_URL") // which is this
	anyone  = os.Getenv("PIO_ANYONE")      // a key of the one with keys
	master  = os.Getenv("PIO_MASTER")      // of its operator
	picture = os.Getenv("PIO_PICTURE")     // a file
	shots   = os.Getenv("PIO_SCREENSHOTS")
)

// browser is the one that all tests share; each has a profile of its own.
var browser context.Context

func TestMain(m *testing.M) {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil && path == "" {
			path = found
		}
	}
	if path == "" || home == "" {
		fmt.Fprintln(os.Stderr, "these tests need Chromium, and a host at PIO_PAGE_URL: `make page` has both")
		os.Exit(1)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WSURLReadTimeout(patience),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-gpu", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses to run as root with one
	}
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	var close context.CancelFunc
	browser, close = chromedp.NewContext(allocator)
	code := 1
	if err := chromedp.Do(browser, chromedp.Navigate("about:blank")); err == nil {
		code = m.Run()
	} else {
		fmt.Fprintln(os.Stderr, "Chromium does not start (under a limit on addresses, which ulimit -v shows, it ends without a word):", err)
	}
	close()
	end()
	os.Exit(code)
}

// tab is a page of the browser with nothing stored.
type tab struct {
	*testing.T
	ctx context.Context

	mu      sync.Mutex
	fetched []string // addresses
	wrong   []string // exceptions, complaints of the policy, errors that were not expected
	allowed []string // pieces of errors that a test provokes
}

// open shows a page of a host; errors that have one of the pieces in them are expected.
func open(t *testing.T, address string, expected ...string) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	ctx, timeout := context.WithTimeout(ctx, patience)
	b := &tab{T: t, ctx: ctx, allowed: expected}
	t.Cleanup(func() {
		if t.Failed() {
			b.shoot("failed-" + strings.ReplaceAll(t.Name(), "/", "-"))
		}
		timeout()
		end()
		b.judge(address)
	})
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	command(b, network.Enable, network.EnableParams{})
	command(b, log.Enable, cdp.Empty{})
	b.wear(looks[0])
	b.run(chromedp.Navigate(address))
	return b
}

// hear notes what goes wrong in a page, and what it fetches.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.wrong = append(b.wrong, fmt.Sprintf("%+v", *e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "assert" {
			b.wrong = append(b.wrong, fmt.Sprintf("console: %s", e.Args[0].Value))
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.wrong = append(b.wrong, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		b.fetched = append(b.fetched, e.Request.URL)
	}
}

// judge fails a test whose page had errors, or asked another host for something.
func (b *tab) judge(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	own, err := url.Parse(address)
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range b.fetched {
		u, err := url.Parse(f)
		if err != nil || u.Host != own.Host && u.Scheme != "data" && u.Scheme != "blob" {
			b.Errorf("the page asked for %.200s", f)
		}
	}
	if len(b.fetched) < 10 {
		b.Errorf("the page asked only for %q", b.fetched)
	}
wrong:
	for _, w := range b.wrong {
		for _, piece := range b.allowed {
			if strings.Contains(w, piece) {
				continue wrong
			}
		}
		b.Errorf("the browser complains: %s", w)
	}
}

// command gives the browser one of its protocol.
func command[P, R any](b *tab, c cdp.Command[P, R], params P) R {
	b.Helper()
	result, err := chromedp.Call(b.ctx, c, params)
	if err != nil {
		b.Fatalf("%s: %v", c.Method, err)
	}
	return result
}

// step is something to do with a page.
type step = chromedp.Action[chromedp.Void]

func (b *tab) run(steps ...step) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatalf("%v\n%s", err, b.words())
	}
}

// words are what a person reads.
func (b *tab) words() (text string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 10*time.Second)
	defer cancel()
	text, _ = chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	return text
}

// eval is the value of an expression, which may be a promise.
func eval[V any](b *tab, expression string) V {
	b.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[V](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v\n%s", expression, err, b.words())
	}
	return value
}

// click presses what a selector finds.
func (b *tab) click(selector string) {
	b.Helper()
	b.run(chromedp.Click(chromedp.CSS(selector)))
}

func (b *tab) reload() {
	b.Helper()
	b.run(chromedp.Reload())
}

func (b *tab) focus(selector string) {
	b.Helper()
	b.run(chromedp.Focus(chromedp.CSS(selector)))
}

// choose takes a value of a list, as a user does.
func (b *tab) choose(selector, value string) {
	b.Helper()
	b.does(fmt.Sprintf(`const list = document.querySelector(%q); list.value = %q; list.dispatchEvent(new Event("change", { bubbles: true }));`, selector, value))
}

// put gives a field a value in the place of what it has.
func (b *tab) put(selector, value string) {
	b.Helper()
	b.does(fmt.Sprintf(`const field = document.querySelector(%q); field.value = %q; field.dispatchEvent(new Event("input", { bubbles: true }));`, selector, value))
}

// does runs a script.
func (b *tab) does(script string) {
	b.Helper()
	eval[int](b, "(() => {"+script+"})(), 0")
}

// until waits for an expression to be true. The page's policy lets nothing wait in the page itself.
func (b *tab) until(expression string) {
	b.Helper()
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Promise.resolve("+expression+").then(Boolean, () => false)", chromedp.EvalAwaitPromise))
		if ok {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-b.ctx.Done():
			b.Fatalf("%s: %v, %v\n%s", expression, err, b.ctx.Err(), b.words())
		}
	}
}

// shoot keeps a picture, if pictures are wanted.
func (b *tab) shoot(name string) {
	if shots == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), 30*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.Logf("no picture of %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(shots, name+".png"), png, 0o644); err != nil {
		b.Error(err)
	}
}

// look is how a page is shown.
type look struct {
	name          string
	width, height int64
	scheme        string
}

var looks = []look{
	{"light", 1280, 860, "light"}, {"dark", 1280, 860, "dark"}, {"narrow-light", 360, 740, "light"}, {"narrow-dark", 360, 740, "dark"},
}

// wear has the page shown so.
func (b *tab) wear(l look) {
	b.Helper()
	command(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.width < 500})
	command(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: l.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}, // colours are what they are, not on their way
	}})
	b.until(fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches`, l.width, l.scheme))
}

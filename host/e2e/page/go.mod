// Tests of the page in a headless Chromium, in a module of its own: what they need stays out of the product's go.mod.
module github.com/inference-pio/inference-pio/host/e2e/page

go 1.26.0

require (
	github.com/chromedp/cdproto v0.160.1
	github.com/chromedp/chromedp v0.23.1
	github.com/yuin/goldmark v1.8.7
	golang.org/x/net v0.61.0
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect

package clients

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// What `promtool check metrics` says: its library reads /metrics, and holds names, units and help to Prometheus' rules. Colons are for recorded rules;
// vLLM's names have one, and dashboards ask for them as they are.
func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	url := os.Getenv("PIO_BASE_URL")
	if url == "" {
		t.Fatal("PIO_BASE_URL is not set; run this through host/e2e")
	}
	c := client(t)
	if _, err := c.Chat.Completions.New(t.Context(), question()); err != nil { // so that there is something of a model to tell
		t.Fatal(err)
	}
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/plain") {
		t.Fatalf("/metrics: %s, %s", resp.Status, kind)
	}
	problems, err := promlint.New(resp.Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "vllm:") && p.Text == "metric names should not contain ':'" {
			continue
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

package serve

import "testing"

// A user's environment cannot stop an answer: the gate is in the plugins of host/e2e alone.
func TestShippedPluginsHaveNoGate(t *testing.T) {
	t.Setenv("PIO_TEST_HOLD", "0")
	if hold() != nil {
		t.Error("the gate of the end-to-end tests is in a plugin that was built without the tag for it")
	}
}

package sdk

// Constants of the wire that both sides name. PROTOCOL.md explains them.
const (
	// CookieKey and CookieValue tell a plugin that a host started it rather than a person. They are no secret.
	CookieKey   = "PIO_PLUGIN_COOKIE"
	CookieValue = "5f0e2e1c-inference-pio-plugin"

	// Version is the version of this sdk, told in Description.SDKVersion.
	Version = "0.1.0"

	// PluginSet is the name both sides give go-plugin for the one thing a connection carries.
	PluginSet = "pio"

	// EnvLifeline holds the number of an inherited descriptor that reads end-of-file when the host is gone.
	EnvLifeline = "PIO_LIFELINE_FD"

	// EnvFile holds the absolute path of the file the plugin was started from. What runs is a copy of it in memory, so that
	// neither os.Executable nor /proc/self/exe leads back to it.
	EnvFile = "PIO_PLUGIN_FILE"

	// EnvLogLevel holds the least level the plugin logs: "debug", "info", "warn" or "error"; info without it.
	EnvLogLevel = "PIO_LOG_LEVEL"

	// MaxMessageBytes limits one gRPC message either way. A row of logits of a 152k vocabulary takes 0.6 MB; gRPC's own
	// default of 4 MiB would refuse seven of them.
	MaxMessageBytes = 64 << 20
)

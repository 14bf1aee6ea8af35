"""What the collector passes on as it is stored: to Prometheus, OpenTelemetry, Sentry and PostHog."""

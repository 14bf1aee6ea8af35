"""Takes measurements: what a customer would have seen, with true times.

This package knows nothing of scenarios, service levels or the collector; they know it.
"""

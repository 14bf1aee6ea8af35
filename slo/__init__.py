"""Service-level arithmetic: pure, no clock, no I/O, no logging. Imports the standard library and `probes.records` only."""

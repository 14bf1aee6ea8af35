"""Service-level arithmetic: pure, no clock, no I/O, no logging.

Imports the standard library, `probes.records` and, for maintenance that recurs, `dateutil`.
"""

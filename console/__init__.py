"""The command line: arguments, wiring, progress, and everything that a person reads."""

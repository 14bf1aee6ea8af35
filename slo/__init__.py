"""Pure arithmetic of service levels: no clock, no I/O, no logging."""

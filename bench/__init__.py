"""Measurements that prove or refute what this project claims about its own timing and cost. Run with `python -m bench`."""

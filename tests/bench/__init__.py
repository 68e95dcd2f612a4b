"""Measurements, never tests: each figure is a ratio against a named peer in one run, or a time against its target."""

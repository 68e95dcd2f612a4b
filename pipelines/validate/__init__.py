"""Judges raw bars by the suites in `expectations/`, sets bad rows aside with the reason, stops the run on too many."""

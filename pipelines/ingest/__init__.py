"""Where data comes from (a simulated market, files), and the snapshot of what was known at T that a run rests on."""

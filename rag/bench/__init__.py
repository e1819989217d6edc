"""Measuring speed: ours, the peers and the machine's limits side by side in one run."""

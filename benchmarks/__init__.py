"""Ratios against the best plain version one would write, measured in one process with process_time, min of several."""

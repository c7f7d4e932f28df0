"""The optimum over all real thresholds, proved, and bounds on what an unfinished search can miss."""

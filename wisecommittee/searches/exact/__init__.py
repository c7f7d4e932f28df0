"""The optimum over all real thresholds, proved, and bounds on the quality that an unfinished search can miss."""

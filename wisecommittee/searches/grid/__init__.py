"""Every combination and every vector of percentile thresholds.

May be added: another grid over the same stage tables.
"""

"""Multiply-adds that the paper of hierarchical neural ensembles prints."""

from __future__ import annotations

# design, schedule, classes -> millions of multiply-adds at 1, 2, 4, 8, 16 leaves
PRINTED = {
    ("hne", "tree", 10): (50.80, 65.66, 107.08, 201.74, 401.99),
    ("hne-small", "tree", 10): (13.08, 16.84, 27.33, 51.32, 102.17),
    ("hne-mobilenet", "tree", 1000): (489.88, 600.09, 934.51, 1677.11, 3237.55),
    ("hne", "multi-branch", 10): (50.80, 77.35, 130.44, 236.64, 449.03),
    ("hne-small", "multi-branch", 10): (13.08, 19.80, 33.24, 60.12, 113.89),
    ("hne", "tree", 100): (50.82, 65.71, 107.17, 201.92, 402.36),
    ("hne-small", "tree", 100): (13.09, 16.86, 27.37, 51.42, 102.35),
    ("hne", "independent", 10): tuple(50.797 * k for k in (1, 2, 4, 8, 16)),
}

"""Fitting calibrations on the split that chooses, and reading how reliable confidences are."""

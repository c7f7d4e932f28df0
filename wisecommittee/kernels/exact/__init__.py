"""Kernels of the exact search: gain levels, safe screening, branch and bound."""

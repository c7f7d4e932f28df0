"""Statistics of samples of units: intervals, comparisons of two committees on the same units, tests, bounds of a mean.

Each module takes arrays and returns numbers; none knows of committees or stores. May be added: another method, with its
source and a test against an independent implementation.
"""

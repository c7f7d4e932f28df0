"""From stored outputs to the exact frontier: exit tables, exhaustive search, evaluation, honest intervals.

May be added: another search method over the same tables. Only exits.py walks a cascade, and only evaluate.py sums its
figures.
"""

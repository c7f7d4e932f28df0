"""From stored outputs to the exact frontier: exit tables, exhaustive search, evaluation, honest intervals.

May be added: another search method over the same tables. A cascade is walked in one place only, exits.py, and
its figures are summed in one, evaluate.py.
"""

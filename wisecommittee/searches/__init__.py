"""From stored outputs to the exact frontier: exit tables, exhaustive search, evaluation, honest intervals.

May be added: another search method over the same tables. A cascade is evaluated in one place only, evaluate.py.
"""

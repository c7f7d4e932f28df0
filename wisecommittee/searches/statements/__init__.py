"""Statements about a committee, as values and as they are written: a guarantee tests them, a limit keeps them.

May be added: a statement, as a form in parsing.py.
"""

"""Statements about a committee that hold on new units with a stated probability, tested on units that did not choose
it.

May be added: a statement, as a form in statements/parsing.py and its test in claims.py.
"""

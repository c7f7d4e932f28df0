"""Stored outputs -> what every prefix of members answers and how sure it is.

May be added: another way to compute stage tables, behind the same values.
"""

"""Searches of parts of the units, over the same stage tables, and what they say of units that a search has not seen.

May be added: another way to divide the units.
"""

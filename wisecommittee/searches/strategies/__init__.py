"""Ways to search, one file each, with a Strategy.

May be added: such a file, and its line in METHODS (searches/methods.py), by which `method` names it.
"""

"""Evaluation logs of other programs -> store: what many models said about the same units.

May be added: a format, as a file of `formats/` and its line in `formats/__init__.py`.
"""

"""A committee at work: its torch modules on real inputs, stage by stage on the units that are left, and how fast.

May be added: another way to run the same decisions. What a committee decides is defined by searches/evaluate.py; the
two are compared unit for unit in the tests. Needs the extra `torch`.
"""

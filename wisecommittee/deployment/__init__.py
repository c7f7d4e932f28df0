"""A committee at work: its torch modules on real inputs, stage by stage on the units that have not exited; its speed.

May be added: another way to run the same decisions. The policy decides, as in an evaluation (committees/walk.py), and
the tests compare the two unit by unit. Needs the extra `torch`.
"""

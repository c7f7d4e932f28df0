"""Stored outputs -> the prediction, correctness and confidence of every prefix of members.

May be added: another way to compute StageTables.
"""

"""A committee without any data: model cards, committees, policies, confidences, combining rules, costs, families.

May be added: a confidence, a policy, a combining rule, a cost or a family. Values and numpy only; nothing here knows
outputs or splits.
"""

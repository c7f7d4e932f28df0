"""What a committee is, without any data: cards, confidence functions, combining rules, costs, families.

May be added: one more confidence, rule, cost or family. Pure values and numpy; nothing here knows outputs or splits.
"""

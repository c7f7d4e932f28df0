"""What a committee is, without any data: cards, committees, confidence functions, combining rules, costs, families.

May be added: one more confidence, rule, cost or family. Pure values and numpy; nothing here reads files or knows splits.
"""

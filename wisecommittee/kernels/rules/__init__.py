"""Rules of a tree of routes, fitted by coordinate ascent.

A rule belongs to a route and a group of units. Units of the group that have run the route exit iff the rank of their
confidence is at least the rule's level; else they run the route that the rule names, which is one stage longer.
"""

"""What is done with a committee after it was chosen: figures by group of units, watching a stream, moving thresholds to
a stream, charging a policy that another tool chose.

May be added: another such operation, one module with a function that takes a committee and a store.
"""

"""Training what goes into a committee. One loop (loop.py) for all; a method only says which phases and which loss.

May be added: a Method in a file of its own. It writes through wisecommittee.extraction, and never copies the loop.
"""

import wisecommittee.extraction  # noqa: F401  (says how to install torch where it is missing)

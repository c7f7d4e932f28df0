"""Training of committee members. All methods share one loop (loop.py); a method defines only its phases and its loss.

May be added: a Method in a file of its own. It writes to the store through wisecommittee.extraction, and uses the loop
of loop.py.
"""

import wisecommittee.extraction  # noqa: F401  (says how to install torch where it is missing)

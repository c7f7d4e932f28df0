"""Every jitted function of the project: numpy arrays in, numpy arrays out.

Nothing here raises, the callers have checked. May be added: a kernel with a naive twin in the tests. All compile
options live in jit.py.
"""

from wisecommittee.reading import check_address_space

check_address_space(600 << 20)  # what compiling takes; with less numba and LLVM end the process without a word

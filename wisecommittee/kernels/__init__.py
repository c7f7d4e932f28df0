"""Every jitted function of the project: numpy arrays, and NamedTuples of them, in and out.

Kernels do not raise: their callers have checked the arguments. May be added: a kernel with a naive twin in the tests.
All compile options live in jit.py. Fees that may vary per unit are arrays [.., N], or [.., 1] if they do not.
"""

from wisecommittee.reading import check_address_space

check_address_space(600 << 20, "compiled kernels")  # without so much, LLVM would abort the process

"""`python -m wisecommittee` is the command line."""

from wisecommittee.cli import main

main()

"""`python -m wisecommittee` is the command line."""

from wisecommittee.cli import main  # type: ignore[import-not-found]  # stands in cli/

main()

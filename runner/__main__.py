"""`python3 -m runner COMMAND`: what the Makefile calls."""

import sys

from runner import commands

if __name__ == "__main__":
    sys.exit(commands.main(sys.argv[1:]))

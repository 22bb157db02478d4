"""The verbs a person types; each calls one function of a room.

Whatever a person may do wrong ends in one line on standard error and exit status 2. Results go to
standard output, progress and notes to standard error; `--json` prints one object a line for
machines.
"""

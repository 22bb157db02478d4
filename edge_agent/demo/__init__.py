"""The demonstration: broker, collector and agent as real processes on this machine, and a story.

It is a user of everything else and knows nothing that a user could not: it writes configuration
files, starts the commands, asks the control socket, and reads the collector's database with plain
SQL. Its account is therefore a check from outside.
"""

"""Throw damaged input at everything that reads what others wrote: `python -m tests.fuzz`."""

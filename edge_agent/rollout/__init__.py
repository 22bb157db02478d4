"""Which model looks: bundles, slots, and the gates between them.

In: a bundle file. Out: the live bundle of a station, and the way back to the one before it.
Promises: a bundle that is damaged, incompatible or fails its self-test never displaces the live
one; slots change by one atomic rename, so that after a crash one of them is live and whole.
"""

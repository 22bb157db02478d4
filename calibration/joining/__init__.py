"""A pipeline of bundles: the models of several become the stages of one.

In: bundles in the order in which they are to look, what a person says of how they hang together
(`Wiring`), and frames of the whole scene. Out: a bundle.
Promises: stages keep their models, inputs and thresholds as they were; every sample of the new
bundle was judged by all of its stages, as a station would, on every engine that can run them all,
and came out as it should; what cannot be joined is refused with the reason and the way out, and
then no bundle is written.
"""

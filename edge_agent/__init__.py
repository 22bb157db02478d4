"""Edge inference runtime for factory visual inspection.

The rooms stand in the order of the path of a part: camera, inspection (with lighting beside
it), decision, record, spool, uplink. Imports point up that list; only `agent` and `config` see
all of it, and nobody imports `collector`.
"""

__version__ = "0.1.0"

"""Camera drivers, one file each; `edge_agent.camera.registry` has a line for each.

A driver file holds `Settings`, the frozen values that a configuration may set, and `Driver`, which
implements `edge_agent.camera.frame.Camera`.
"""

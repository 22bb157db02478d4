"""A fleet of devices that do not exist, for load: real links, real batches, real acknowledgements.

In: how many, how fast, for how long. Out: MQTT traffic as of so many devices, and an account of
what was made, what was acknowledged and how long that took; held against the store if asked for.

Each device is an `edge_agent.uplink.uplink.Uplink` with a connection, a window and timeouts of its
own, over a source in memory in place of the spool. What is simulated is the camera and the disk.
"""

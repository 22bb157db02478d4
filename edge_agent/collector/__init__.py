"""The other side of the uplink: store each batch once, say so, show what came.

In: batches and births over MQTT. Out: rows in a database, acknowledgements to the devices, and
what a person may read: alarms, devices, inspections. An extra (`edge-inspection[collector]`); no
other room imports it.

What it promises:

- A batch is stored at most once for each (device, stream, batch), whole or not at all.
- The device is told only after the commit. Twice sent is once stored, and twice told.
- What cannot be read is put in quarantine with its reason; it stops nothing, and the device is not
  told that it is stored.
- Several may share the work, and one that dies or hangs loses and doubles nothing.
- What is missing of a stream is found, asked for, and shown.
- A database that is away for a while costs nothing: the broker and the devices keep what came.
"""

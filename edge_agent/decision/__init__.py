"""Scores to a verdict, and the verdict to whoever acts on it.

In: scores, thresholds, the state of the light, faults. Out: a `Decision`: verdict and causes; and
through `outputs/`, the verdict on its way to a PLC, MQTT, or a log.
Promises: the rules are pure functions; whatever cannot be judged is `invalid`, never `ok`.
"""

"""Scores to a verdict, and the verdict to whoever acts on it.

In: scores, thresholds, the state of the light, faults; through `orders/`, what a PLC says is made.
Out: a `Decision`: verdict and causes (`verdict`); what of it leaves the station by the degree of
automation (`automation`); whether scores and verdicts are still those of the reference (`drift`);
and through `outputs/`, the verdict on its way to a PLC, MQTT, or a log.
Promises: the rules are pure functions; whatever cannot be judged is `invalid`, never `ok`.
"""

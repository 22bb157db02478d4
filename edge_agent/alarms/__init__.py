"""What a person must know: alarms after ISA-18.2, and nothing else.

In: conditions, seen by any stage (`observe`), and what people do (acknowledge, shelve, ...). Out:
transitions, each kept in the spool before it is announced.
Promises: one table says what follows what; an alarm asks a person for a timely response, has a
priority, says what to do, and does not chatter (on-delay, off-delay).
"""

"""The verbs of commissioning, registered with `edge-agent` (entry points `edge_agent.verbs`)."""

"""Drivers of databases: one file each, all behind `edge_agent.collector.store.Store`."""

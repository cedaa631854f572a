"""The mesh by each of its backends: from a fleet and a host to all that the host must be. Pure."""

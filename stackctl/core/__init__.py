"""Values that every layer shares; imports nothing of stackctl."""

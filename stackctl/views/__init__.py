"""Values become text; nothing here prints."""

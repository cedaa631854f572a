"""What a person writes, in types; a field's docstring is its manual."""

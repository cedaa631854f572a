"""How much GPU memory a model takes: from its `config.json` and a server's arguments to bytes. Pure arithmetic."""

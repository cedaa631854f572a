"""Bare-metal NVIDIA hosts to models behind stable internal HTTP APIs, declared and kept."""

__version__ = "0.1.0"

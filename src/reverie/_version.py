"""The version, apart from everything, so that any module can name it."""

__version__ = "0.1.0"

"""The version, apart from everything else, so that any module can name it."""

__version__ = "0.2.0"

FORMAT = 2
"""Of run folders and weights files. It changes where older ones can no longer be read: other names of options, of log
keys or of weights."""

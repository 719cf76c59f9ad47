"""Blocks that two or more methods use: pure modules and functions, with no switches."""

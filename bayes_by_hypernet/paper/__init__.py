"""Reproduces the paper with the library, which imports nothing from here."""

"""Numerical kernels: what the package computes in many passes over all weights of a network."""

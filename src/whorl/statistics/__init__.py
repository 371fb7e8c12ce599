"""Null hypotheses, exact bounds and intervals: plain functions, arrays in and numbers out.

Imports `core` and numpy only. Every function names its null hypothesis and when that is invalid.
"""

"""Bytes that came from outside, taken apart within bounds: pictures and JSON."""

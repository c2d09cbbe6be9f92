"""Examination of an installation, a file for each part of the report."""

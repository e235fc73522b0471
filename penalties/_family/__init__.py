"""The penalties, a file for each mathematical structure."""

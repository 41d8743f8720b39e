"""Tests that open the HTML report in a real browser."""

"""Tests with the real container engine."""

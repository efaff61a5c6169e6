"""Experiments -> the quantities and estimates that chapters show and judge, labelled; one module a chapter."""

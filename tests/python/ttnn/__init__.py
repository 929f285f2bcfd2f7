"""Stands in for the runtime's package: functions that are made in C are set from outside."""

CONSTANT = 1

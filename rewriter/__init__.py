"""Moves code that has to leave the graph into a custom operator of its own.

Nothing here runs unless somebody asks for it: the functions around a finding are interpreted once more, to see what
their variables hold.
"""

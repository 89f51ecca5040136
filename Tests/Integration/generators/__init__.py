# SPDX-License-Identifier: Apache-2.0
"""Random commands for the oracle, one file per family.

A family is a function from a Source to one step; a step is the connection's
number (0 speaks RESP2, 1 speaks RESP3) and the arguments of a command.
"""

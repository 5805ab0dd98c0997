"""A second implementation of the device side of SGA/1, written from docs/protocol.md alone."""

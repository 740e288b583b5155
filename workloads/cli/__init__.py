"""The command line: one thin function a command, and the tables that they print."""

"""The command line: commands, configuration and one renderer a format."""

"""The commands that need no room of their own; `command_line` names them."""

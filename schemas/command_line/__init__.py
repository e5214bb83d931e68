"""One style of command line for every program: what a setting takes, its flag, its help, and completion in shells."""

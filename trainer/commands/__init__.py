"""The registry's commands, in `registry`; `promote` and `starter` have modules of their own."""

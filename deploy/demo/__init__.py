"""`make demo`: the whole of Starstream on one machine, from an empty folder to stars in Redis.

`__main__` is the script, read top to bottom; `stack` starts and stops the parts; `reviews` is what is produced;
`outcome` reads back what came of it. Only real commands are run, as a person would run them.
"""

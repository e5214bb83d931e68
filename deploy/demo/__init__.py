"""`make demo`: the whole of Starstream on one machine, from an empty folder to stars in Redis.

`__main__` is the script, read top to bottom; `stack` starts and stops the parts; `reviews` is what is produced;
`outcome` reads the results back; `refresh` is `make demo-refresh`. They run the commands a person would type.
"""
